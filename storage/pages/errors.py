"""What this package raises besides ArchiveDamagedError."""

from storage.errors import StorageError


class PageIndexError(StorageError):
    """A page index that nothing can be compared with: damaged, or made with another key."""

    def __init__(self, index: str, reason: str) -> None:
        super().__init__(index, reason)
        self.index = index
        self.reason = reason

    def __str__(self) -> str:
        return f"page index {self.index} cannot be used: {self.reason}; take a full checkpoint"
