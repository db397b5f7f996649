"""Findings about networks: a restore claims the addresses that the container had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from runtime.preflight.facts import Attachment, NetworkFacts, TargetFacts
from runtime.preflight.finding import Finding, blocker, warning


def network_findings(attachments: Iterable[Attachment], target: TargetFacts) -> Iterator[Finding]:
    """What the target's networks make of the container's."""
    known = {network.name: network for network in target.networks}
    used = [subnet for network in target.networks for subnet in network.subnets]
    for attachment in attachments:
        there = known.get(attachment.network.name)
        if there is None:
            chosen = first_free(used)
            used.append(chosen)
            yield from _missing(attachment, target, chosen)
        else:
            yield from _differing(attachment, there, target.host.host)
            yield from _taken(attachment, there, target.host.host)


def first_free(used: Iterable[str]) -> str:
    """The subnet that Podman gives to a new network (default_subnet_pools, containers.conf(5))."""
    taken = tuple(used)
    pool = (f"10.{net}.{part}.0/24" for net in range(89, 256) for part in range(256))
    return next(subnet for subnet in pool if not any(_overlap(subnet, other) for other in taken))


def create_command(network: NetworkFacts) -> str:
    """The command that makes such a network."""
    words = ["podman network create"]
    words += [f"--driver {network.driver}"] if network.driver != "bridge" else []
    words += ["--internal"] if network.internal else []
    words += [f"--subnet {subnet}" for subnet in network.subnets]
    words += [f"-o {key}={value}" for key, value in sorted(network.options.items())]
    return " ".join([*words, network.name])


def _missing(attachment: Attachment, target: TargetFacts, chosen: str) -> Iterator[Finding]:
    network, host = attachment.network, target.host.host
    cure = f"{create_command(network)}    # on {host}"
    if other := _in_the_way(network, target):
        yield blocker(
            "subnet-conflict",
            f"{host} lacks network {network.name!r}, whose subnet {', '.join(network.subnets)} "
            f"is taken there by network {other!r}",
            f"podman network rm {other}    # on {host}; or give {network.name!r} another subnet",
        )
    elif network.driver != "bridge":
        yield blocker(
            "network-missing",
            f"{host} has no network {network.name!r}, and a move makes none of driver "
            f"{network.driver}",
            cure,
        )
    elif any(not _within(address, chosen) for address in attachment.addresses):
        yield blocker(
            "network-missing",
            f"{host} has no network {network.name!r}, and one made there would get subnet "
            f"{chosen}, without the container's address {', '.join(attachment.addresses)}",
            cure,
        )
    else:
        yield warning(
            "network-missing",
            f"{host} has no network {network.name!r}; the move makes one without options",
            f"to choose its options, make it first: {cure}",
        )


def _in_the_way(network: NetworkFacts, target: TargetFacts) -> str:
    """The target's network, if any, that has an address range of the missing one's."""
    for other in target.networks:
        if any(_overlap(mine, theirs) for mine in network.subnets for theirs in other.subnets):
            return other.name
    return ""


def _differing(attachment: Attachment, there: NetworkFacts, host: str) -> Iterator[Finding]:
    ours = attachment.network
    for address in attachment.addresses:
        if there.subnets and not any(_within(address, subnet) for subnet in there.subnets):
            yield blocker(
                "network-differs",
                f"address {address} lies in no subnet of network {ours.name!r} on {host} "
                f"({', '.join(there.subnets)})",
                f"podman network rm {ours.name} && {create_command(ours)}    # on {host}",
            )
            return
    differing = [
        f"{what} {theirs} instead of {mine}"
        for what, mine, theirs in (
            ("driver", ours.driver, there.driver),
            ("internal", ours.internal, there.internal),
            ("DNS", ours.dns, there.dns),
            ("options", ours.options, there.options),
            ("subnets", ours.subnets, there.subnets),
        )
        if mine != theirs
    ]
    if differing:
        yield warning(
            "network-differs",
            f"network {ours.name!r} differs on {host}: {'; '.join(differing)}",
            f"podman network rm {ours.name} && {create_command(ours)}    # on {host}",
        )


def _taken(attachment: Attachment, there: NetworkFacts, host: str) -> Iterator[Finding]:
    for address in attachment.addresses:
        if owner := there.taken.get(address):
            yield blocker(
                "address-taken",
                f"address {address} in network {there.name!r} belongs to {owner} on {host}",
                f"podman stop {owner}    # on {host}; started again, it gets another address",
            )


def _within(address: str, subnet: str) -> bool:
    return ip_address(address) in ip_network(subnet, strict=False)


def _overlap(one: str, other: str) -> bool:
    a, b = ip_network(one, strict=False), ip_network(other, strict=False)
    return a.version == b.version and a.overlaps(b)
