"""Pins: small objects beside manifests that keep checkpoints from retention.

A pin never changes the manifest, so it can be set and taken away at any time.
"""

import logging
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.errors import CheckpointNotFoundError, ObjectNotFoundError
from storage.manifest import workload_of
from storage.objects import ObjectStore
from storage.records import UtcDatetime

PIN = "pin.json"
_logger = logging.getLogger(__name__)


class Pin(BaseModel):
    """Why and since when a checkpoint is kept whatever the policy says.

    `created` is None for a pin that cannot be read; it holds all the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    reason: str = ""
    created: UtcDatetime | None


class Pins:
    """The pins in an object store, of checkpoints or of `groups`.

    Every method may raise what ObjectStore's methods raise.
    """

    def __init__(self, objects: ObjectStore, *, groups: bool = False) -> None:
        self._objects = objects
        self._groups = groups

    def get(self, checkpoint_id: str) -> Pin | None:
        """The checkpoint's pin, if it has one. Raises CheckpointNotFoundError for a wrong id."""
        try:
            data = self._objects.get(pin_key(checkpoint_id, group=self._groups))
        except ObjectNotFoundError:
            return None
        try:
            return Pin.model_validate_json(data)
        except ValidationError as error:
            _logger.warning("the pin of %s cannot be read: %s", checkpoint_id, error)
            return Pin(created=None)

    def set(self, checkpoint_id: str, *, reason: str, now: datetime) -> Pin:
        """Pin a checkpoint, anew if it is pinned. Raises CheckpointNotFoundError.

        That it still exists is asked last: from then on whoever prunes sees the pin.
        """
        key = pin_key(checkpoint_id, group=self._groups)
        pin = Pin(reason=reason, created=now)
        self._objects.put(key, pin.model_dump_json(indent=2).encode())
        if not self._objects.exists(f"{key.removesuffix(PIN)}manifest.json"):
            self._objects.delete(key)
            raise CheckpointNotFoundError(checkpoint_id)
        return pin

    def remove(self, checkpoint_id: str) -> None:
        """Take the pin away; none is no error. Raises CheckpointNotFoundError for a wrong id."""
        self._objects.delete(pin_key(checkpoint_id, group=self._groups))


def pin_key(checkpoint_id: str, *, group: bool = False) -> str:
    """Where the pin of a checkpoint (or group) lies. Raises CheckpointNotFoundError for no id."""
    try:
        workload_of(checkpoint_id)
    except ValueError as error:
        raise CheckpointNotFoundError(checkpoint_id) from error
    return f"{'groups' if group else 'checkpoints'}/{checkpoint_id}/{PIN}"
