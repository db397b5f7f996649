"""Completes Podman's checkpoint archives: what its export leaves behind is put in on the way."""

from runtime.fidelity.cold import cold_archive, remove_below
from runtime.fidelity.collecting import layer_of, require_readable
from runtime.fidelity.findings import unkept
from runtime.fidelity.rewrite import completed
from runtime.host import seen_by_engine

__all__ = [
    "cold_archive",
    "completed",
    "layer_of",
    "remove_below",
    "require_readable",
    "seen_by_engine",
    "unkept",
]
