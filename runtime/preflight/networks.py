"""Findings about networks: a restore claims the addresses that the container had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from runtime.preflight.facts import Attachment, NetworkFacts, TargetFacts
from runtime.preflight.finding import Finding, blocker, warning


def network_findings(attachments: Iterable[Attachment], target: TargetFacts) -> Iterator[Finding]:
    """What the target's networks make of the container's."""
    known = {network.name: network for network in target.networks}
    for attachment in attachments:
        there = known.get(attachment.network.name)
        if there is None:
            yield from _missing(attachment, target)
        else:
            yield from _differing(attachment, there, target.host.host)
            yield from _taken(attachment, there, target.host.host)


def create_command(network: NetworkFacts) -> str:
    """The command that makes such a network."""
    words = ["podman network create"]
    words += [f"--driver {network.driver}"] if network.driver != "bridge" else []
    words += ["--internal"] if network.internal else []
    words += [f"--subnet {subnet}" for subnet in network.subnets]
    words += [f"-o {key}={value}" for key, value in sorted(network.options.items())]
    return " ".join([*words, network.name])


def _missing(attachment: Attachment, target: TargetFacts) -> Iterator[Finding]:
    network, host = attachment.network, target.host.host
    cure = f"{create_command(network)}    # on {host}"
    for other in target.networks:
        for subnet in network.subnets:
            if any(_overlap(subnet, theirs) for theirs in other.subnets):
                yield blocker(
                    "subnet-conflict",
                    f"subnet {subnet} of network {network.name!r}, which {host} lacks, "
                    f"is taken there by network {other.name!r}",
                    f"podman network rm {other.name}    # on {host}; "
                    f"or make {network.name!r} anew with another subnet",
                )
                return
    if network.driver != "bridge":
        yield blocker(
            "network-missing",
            f"{host} has no network {network.name!r}, and one with driver {network.driver} "
            "cannot be made from here",
            cure,
        )
    else:
        yield warning(
            "network-missing",
            f"{host} has no network {network.name!r}; the move makes one",
            f"to choose its options, make it first: {cure}",
        )


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
