"""Everything that storage raises: one root, the identifiers as attributes, no secret in a message.

Each constructor hands all its arguments to `Exception`, so that the errors survive pickling.
"""


class StorageError(Exception):
    """The root: whatever goes wrong with an object store or with what lies in it."""


class StoreUnavailableError(StorageError):
    """The store does not answer, or answers that it cannot serve now; trying later may help."""

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(store, reason)
        self.store = store
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"object store {self.store} is unavailable: {self.reason}; "
            "check that it runs, has space and can be reached from this host"
        )


class StoreBusyError(StoreUnavailableError):
    """The store asks for fewer requests (SlowDown, 503, 429): go on with less parallelism."""


class StoreFullError(StoreUnavailableError):
    """The store has no space left; what was being written is not there, in no part."""

    def __str__(self) -> str:
        return (
            f"object store {self.store} is full: {self.reason}; "
            "delete checkpoints that are not needed any more, or give it space"
        )


class StoreAccessError(StorageError):
    """The store refuses the request; trying again will not help."""

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(store, reason)
        self.store = store
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"object store {self.store} refuses access: {self.reason}; "
            "check the keys and what they are allowed to do"
        )


class StoreClockError(StoreAccessError):
    """The store refuses requests because this host's clock is `seconds` ahead of the store's.

    Negative when it is behind, 0 when the store does not tell its own time.
    """

    def __init__(self, store: str, seconds: int) -> None:
        off = f"about {abs(seconds)} seconds" if seconds else "more than 15 minutes"
        way = f" ({'ahead' if seconds > 0 else 'behind'})" if seconds else ""
        super().__init__(store, f"the clock of this host is off by {off}{way}")
        self.args = (store, seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"object store {self.store} refuses access: {self.reason}; "
            "set the clock, and keep it right with NTP"
        )


class StoreConfigError(StorageError):
    """A setting that no object store can be opened with."""

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(setting, reason)
        self.setting = setting
        self.reason = reason

    def __str__(self) -> str:
        return f"the {self.setting} setting cannot be used: {self.reason}"


class ObjectNotFoundError(StorageError):
    """No object has this key."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"object {self.key} does not exist; it was deleted or never completely written"


class ObjectTooLargeError(StorageError):
    """The object has more bytes than who asked for it can take; it was not read."""

    def __init__(self, key: str, max_bytes: int) -> None:
        super().__init__(key, max_bytes)
        self.key = key
        self.max_bytes = max_bytes

    def __str__(self) -> str:
        return (
            f"object {self.key} is larger than the {self.max_bytes} bytes that it may have; "
            "it is not what was written under this name, use another checkpoint"
        )


class ObjectExistsError(StorageError):
    """The object was to be written only if absent, and it is there."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"object {self.key} exists already and is not overwritten"


class CheckpointNotFoundError(StorageError):
    """No manifest, so no checkpoint: `checkpoint_id` is an id, or a workload that has none."""

    def __init__(self, checkpoint_id: str) -> None:
        super().__init__(checkpoint_id)
        self.checkpoint_id = checkpoint_id

    def __str__(self) -> str:
        return f"no checkpoint found for {self.checkpoint_id}; list them: podferry checkpoints"


class NoBaseError(StorageError):
    """There is nothing that a workload's next checkpoint could be told apart from."""

    def __init__(self, workload: str, reason: str) -> None:
        super().__init__(workload, reason)
        self.workload = workload
        self.reason = reason

    def __str__(self) -> str:
        return f"the next checkpoint of {self.workload} must be a full one: {self.reason}"


class ParentGoneError(StorageError):
    """A checkpoint was not published: what it is told apart from was removed meanwhile."""

    def __init__(self, checkpoint_id: str, parent: str) -> None:
        super().__init__(checkpoint_id, parent)
        self.checkpoint_id = checkpoint_id
        self.parent = parent

    def __str__(self) -> str:
        return (
            f"checkpoint {self.checkpoint_id} cannot be read without {self.parent}, which was "
            "removed meanwhile; take another, with --full"
        )


class ArchiveDamagedError(StorageError):
    """What the store returned is not what was written; it must not be restored."""

    def __init__(self, archive: str, reason: str) -> None:
        super().__init__(archive, reason)
        self.archive = archive
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"archive {self.archive} is damaged: {self.reason}; "
            "it is not restored, use another checkpoint or start the workload cold"
        )


class ManifestInvalidError(StorageError):
    """A manifest that cannot be understood: not JSON, another version, or a wrong field."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"manifest {self.key} is invalid: {self.reason}; use another checkpoint, "
            "or the version of podferry that wrote this one"
        )


class KeyFileError(StorageError):
    """The file with the keys is missing, readable by others, or no key file."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"key file {self.path} cannot be used: {self.reason}"


class KeyMissingError(StorageError):
    """What is to be read was sealed with a key that is not at hand here."""

    def __init__(self, key_id: str, place: str) -> None:
        super().__init__(key_id, place)
        self.key_id = key_id
        self.place = place

    def __str__(self) -> str:
        return (
            f"key {self.key_id} is not in {self.place}; copy the key file of the host that wrote "
            "this archive (key none: written with PODFERRY_ENCRYPTION=off, and read only with it)"
        )
