"""Say what cannot work before anything is touched: facts in, findings out. No engine is asked."""

from __future__ import annotations

from runtime.preflight.facts import ContainerFacts, HostFacts, TargetFacts
from runtime.preflight.finding import Finding, Severity, blockers
from runtime.preflight.hosts import between, host_findings, pair_findings
from runtime.preflight.networks import needs_new_address
from runtime.preflight.pods import pod_findings, pod_target_findings
from runtime.preflight.source import container_findings, moving_findings, source_host_findings
from runtime.preflight.target import target_findings

__all__ = [
    "Finding",
    "Severity",
    "blockers",
    "machine_findings",
    "move_findings",
    "needs_new_address",
    "pod_findings",
    "pod_target_findings",
    "source_findings",
]


# What CRIU or a process's memory would stumble over, and a cold start does not.
OF_MEMORY_ONLY = frozenset(
    {
        *("bind-link", "cgroup-differs", "checkpoint-unsupported", "cpu-features", "criu-failed"),
        *("criu-kernel", "criu-older", "criu-unproven", "device-open", "id-in-use", "io-uring"),
        *("kernel-older", "mptcp", "runtime-differs", "runtime-unsupported", "systemd"),
    }
)


def source_findings(
    container: ContainerFacts, source: HostFacts, *, moving: bool, cold: bool = False
) -> tuple[Finding, ...]:
    """What the source alone can tell; ``moving`` is False for a checkpoint that stays.

    ``cold`` leaves out what matters to a process's memory only.
    """
    found = (
        *container_findings(container),
        *(moving_findings(container) if moving else ()),
        *source_host_findings(container, source),
        *host_findings(source),
    )
    return tuple(f for f in found if not (cold and f.code in OF_MEMORY_ONLY))


def machine_findings(source: HostFacts | None, target: HostFacts) -> tuple[Finding, ...]:
    """What stands between two hosts, whatever the container; a source may be unknown."""
    return (*host_findings(target), *(between(source, target) if source else ()))


def move_findings(
    container: ContainerFacts, source: HostFacts, target: TargetFacts, *, cold: bool = False
) -> tuple[Finding, ...]:
    """What stands between the source's container and this target; ``cold`` as above."""
    found = (
        *host_findings(target.host),
        *pair_findings(container, source, target.host),
        *target_findings(container, target, cold=cold),
    )
    return tuple(f for f in found if not (cold and f.code in OF_MEMORY_ONLY))
