"""What every record of this package has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

NAME_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=200)]


class Spec(BaseModel):
    """A record that is checked when it is made and never changes: what somebody asks for.

    A field that this version does not know is refused: what was asked is never dropped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class Fact(Spec):
    """What somebody found out. A later version may tell more: that is kept, and not looked at."""

    model_config = ConfigDict(extra="allow")
