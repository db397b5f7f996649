"""Reading records that another version of Podferry may have written.

While an installation is upgraded, workers of two versions share its records. One rule holds:

- A field that a reader does not know is kept, through every change, and not looked at. So a new
  field has a default, and what it says may be passed over.
- What may not be passed over gives the record that uses it, and no other, the next ``version``. A
  reader that does not know that version, or a value such as a new unit of work, leaves the record
  alone, and says so.
- What somebody asks for (a container's spec, a build) is never passed over: a field that is not
  known is refused. So it is written without what is at its default, and a default never changes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from storage import first_reason
from tasks.errors import UnreadableRecordError

R = TypeVar("R", bound=BaseModel)
_logger = logging.getLogger(__name__)  # structlog would slow every command down


def load(kind: type[R], name: str, value: bytes) -> R:
    """The record of this name. Raises UnreadableRecordError."""
    try:
        return kind.model_validate_json(value)
    except ValidationError as error:
        record = f"{kind.__name__.lower()} {name}"
        raise UnreadableRecordError(record, first_reason(error)) from None


def load_known(kind: type[R], values: Iterable[tuple[str, bytes]]) -> list[R]:
    """Those of these records, each with its name, that can be read; the others are logged."""
    found = []
    for name, value in values:
        try:
            found.append(load(kind, name, value))
        except UnreadableRecordError as error:
            _logger.warning("left alone: %s", error)
    return found


def asked(spec: BaseModel) -> dict[str, JsonValue]:
    """How what was asked for is written: without what is at its default."""
    return spec.model_dump(mode="json", exclude_defaults=True)


def asked_json(spec: BaseModel) -> bytes:
    """The same, as the payload of a workflow."""
    return spec.model_dump_json(exclude_defaults=True).encode()
