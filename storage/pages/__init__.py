"""Incremental checkpoints: what changed since the parent. See docs/archives-incremental.md."""

from storage.pages.blocks import KEY_BYTES
from storage.pages.delta import encode_delta, record_pages
from storage.pages.errors import PageIndexError
from storage.pages.index import PageIndex
from storage.pages.operations import DeltaSizes
from storage.pages.parent import ParentIndex
from storage.pages.rebuild import rebuild

__all__ = [
    "KEY_BYTES",
    "DeltaSizes",
    "PageIndex",
    "PageIndexError",
    "ParentIndex",
    "encode_delta",
    "rebuild",
    "record_pages",
]
