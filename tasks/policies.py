"""How containers want to leave their host, as their labels say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tasks.errors import InvalidRequestError
from tasks.models import Kind, Policy, Workflow, new_workflow

if TYPE_CHECKING:
    from tasks.locate import Place

POLICY_LABEL = "podferry.policy"


def policy_of(labels: Iterable[Mapping[str, str]]) -> Policy:
    """The policy of a workload, by the labels of its containers; those without one do not count.

    Raises InvalidRequestError for a word that is none, or where two of them differ.
    """
    words = {own[POLICY_LABEL].strip() for own in labels if own.get(POLICY_LABEL, "").strip()}
    asked = sorted(words - {Policy.AUTO})
    if len(asked) > 1:
        raise InvalidRequestError(
            f"label {POLICY_LABEL}: its containers do not agree: {', '.join(asked)}"
        )
    try:
        return Policy(asked[0]) if asked else Policy.AUTO
    except ValueError:
        known = ", ".join(Policy)
        raise InvalidRequestError(f"label {POLICY_LABEL}={asked[0]} is none of: {known}") from None


def stop_workflow(place: Place, deadline_seconds: float) -> Workflow:
    """A record that asks for a workload to be stopped where it is, and left so.

    ``tasks.control.resume`` of it starts the workload again, with its restart policy.
    """
    return new_workflow(
        Kind.STOP,
        place.name,
        group=place.group,
        members=place.members,
        source=place.host,
        deadline_seconds=deadline_seconds,
    )
