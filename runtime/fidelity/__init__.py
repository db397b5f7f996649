"""Completes Podman's checkpoint archives: what its export leaves behind, added on the way out."""

from runtime.fidelity.collecting import supplement
from runtime.fidelity.rewrite import Supplement, completed

__all__ = ["Supplement", "completed", "supplement"]
