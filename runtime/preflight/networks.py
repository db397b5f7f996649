"""Findings about networks: a restore claims the addresses that the container had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from runtime.preflight.facts import Attachment, NetworkFacts, TargetFacts
from runtime.preflight.finding import Finding, blocker, warning

# Findings after which a restore must not claim the old addresses.
NEW_ADDRESS = frozenset({"subnet-conflict", "address-outside", "address-taken"})


def network_findings(attachments: Iterable[Attachment], target: TargetFacts) -> Iterator[Finding]:
    """What the target's networks make of the container's."""
    known = {network.name: network for network in target.networks}
    for attachment in attachments:
        there = known.get(attachment.network.name)
        if there is None:
            yield from _missing(attachment, target)
        else:
            yield from _differing(attachment, there, target.host.host)
            yield from _lost(attachment, there, target.host.host)


def needs_new_address(findings: Iterable[Finding]) -> bool:
    """Whether the container must be given other addresses on the target than it had."""
    return any(finding.code in NEW_ADDRESS for finding in findings)


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
    if network.driver != "bridge":
        yield blocker(
            "network-missing",
            f"{host} has no network {network.name!r}, and a move makes none of driver "
            f"{network.driver}",
            f"{create_command(network)}    # on {host}",
        )
    elif other := _in_the_way(network, target):
        subnets = ", ".join(network.subnets)
        yield _new_address(
            "subnet-conflict",
            attachment,
            f"{host} lacks network {network.name!r}, whose subnet {subnets} is taken there by "
            f"network {other!r}",
            f"podman network rm {other}    # on {host}; or give {network.name!r} another subnet",
        )
    else:
        yield warning(
            "network-missing",
            f"{host} has no network {network.name!r}; the move makes the same there",
            "nothing, if that is right",
        )


def _new_address(code: str, attachment: Attachment, message: str, cure: str) -> Finding:
    """Whoever asked for an address must get it; any other container can do with a new one."""
    if attachment.fixed:
        return blocker(code, f"{message}; its address is a fixed one", cure)
    return warning(
        code,
        f"{message}; the container gets a new address, and a connection under way from the old one "
        "fails the restore",
        f"to keep the address: {cure}",
    )


def _in_the_way(network: NetworkFacts, target: TargetFacts) -> str:
    """The target's network, if any, that has an address range of the missing one's."""
    for other in target.networks:
        if any(_overlap(mine, theirs) for mine in network.subnets for theirs in other.subnets):
            return other.name
    return ""


def _differing(attachment: Attachment, there: NetworkFacts, host: str) -> Iterator[Finding]:
    ours = attachment.network
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


def _lost(attachment: Attachment, there: NetworkFacts, host: str) -> Iterator[Finding]:
    """Addresses that the container cannot have on the target."""
    ours = attachment.network
    for address in attachment.addresses:
        if there.subnets and not any(_within(address, subnet) for subnet in there.subnets):
            yield _new_address(
                "address-outside",
                attachment,
                f"address {address} lies in no subnet of network {ours.name!r} on {host} "
                f"({', '.join(there.subnets)})",
                f"podman network rm {ours.name} && {create_command(ours)}    # on {host}",
            )
        elif owner := there.taken.get(address):
            yield _new_address(
                "address-taken",
                attachment,
                f"address {address} in network {there.name!r} belongs to {owner} on {host}",
                f"podman stop {owner}    # on {host}; started again, it gets another address",
            )


def _within(address: str, subnet: str) -> bool:
    return ip_address(address) in ip_network(subnet, strict=False)


def _overlap(one: str, other: str) -> bool:
    a, b = ip_network(one, strict=False), ip_network(other, strict=False)
    return a.version == b.version and a.overlaps(b)
