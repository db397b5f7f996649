"""What a drain is about: the workloads of a host, as its inventory shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tasks.drains.models import Item, ItemState, Method
from tasks.errors import InvalidRequestError
from tasks.groups import LIVE, SYSTEM_LABEL, group_of
from tasks.models import GroupKind, Inventory, Policy, WorkloadLine
from tasks.placing import need_of
from tasks.policies import POLICY_LABEL, policy_of

PRIORITY_LABEL = "podferry.priority"


def items_of(inventory: Inventory, selector: Mapping[str, str]) -> list[Item]:
    """An item for each container, compose project or pod that runs there, by name."""
    groups: dict[tuple[GroupKind | None, str], list[WorkloadLine]] = {}
    for line in sorted(inventory.containers, key=lambda line: line.name):
        if line.state in LIVE:
            groups.setdefault(group_of(line), []).append(line)
    found = [_item(inventory.host, k, name, lines, selector) for (k, name), lines in groups.items()]
    return sorted(found, key=lambda item: item.workload)


def system(inventory: Inventory) -> list[str]:
    """The names of the containers there that belong to the host itself."""
    return sorted(line.name for line in inventory.containers if is_system([line]))


def is_system(lines: Iterable[WorkloadLine]) -> bool:
    """Whether they belong to the host: their label says so."""
    return any(line.labels.get(SYSTEM_LABEL, "").lower() in {"1", "true"} for line in lines)


def _item(
    host: str,
    group: GroupKind | None,
    name: str,
    lines: list[WorkloadLine],
    selector: Mapping[str, str],
) -> Item:
    need = need_of(lines, source=host, selector=selector)
    policy = policy_of(line.labels for line in lines)
    item = Item(
        workload=name,
        group=group,
        containers=need.names,
        source=host,
        need=need,
        memory_bytes=need.memory_bytes,
        priority=max(_priority(line) for line in lines),
        may_go_live=policy is not Policy.COLD,
        may_go_cold=policy is not Policy.LIVE and group is not GroupKind.POD,
    )
    if is_system(lines):
        because = "it belongs to the host"
        return item.changed(method=Method.STAY, state=ItemState.STAYS, because=because)
    if policy is Policy.STOP:
        return item.changed(method=Method.STOP, because=f"label {POLICY_LABEL}=stop")
    if not item.may_go_live:
        return item.changed(method=Method.COLD, because=f"label {POLICY_LABEL}=cold")
    return item


def _priority(line: WorkloadLine) -> int:
    text = line.labels.get(PRIORITY_LABEL, "0")
    try:
        return int(text)
    except ValueError:
        raise InvalidRequestError(
            f"label {PRIORITY_LABEL}={text!r} of {line.name!r} is no whole number"
        ) from None
