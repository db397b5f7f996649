"""What all stored records share: frozen, strict, and with nothing secret in an error."""

from datetime import UTC
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

Bytes = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
UtcDatetime = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class Record(BaseModel):
    """A record at a border. Bytes become base64 with the URL-safe alphabet in JSON.

    A field that a later version added is kept, and not looked at; a change that its readers must
    not pass over gives the record another `version`.
    """

    # a spec may hold secrets: an invalid value is not repeated in the error about it
    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        hide_input_in_errors=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


def first_reason(error: ValidationError) -> str:
    """The first thing that is wrong with a record, in one line and without the value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["loc"] == ("version",) and first["type"] == "literal_error":
        return "another version of Podferry wrote it, in a format that this one does not know"
    place = ".".join(str(step) for step in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
