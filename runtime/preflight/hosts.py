"""Findings about one host, and about two that do not go together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.preflight.facts import CanaryState, ContainerFacts, HostFacts
from runtime.preflight.finding import Finding, blocker, warning
from runtime.preflight.versions import at_least, numbers

# Flags of /proc/cpuinfo that a program may have found and use; the kernel's own are left out.
_USED_BY_PROGRAMS = re.compile(
    r"(mmx|3dnow|s?sse|avx|amx|fma|f16c|bmi|abm|lzcnt|popcnt|movbe|movdir|cx16|adx|aes|vaes|pni"
    r"|v?pclmul|gfni|sha|sm[34]|rdrand|rdseed|rdpid|rdtscp|fsgsbase|xsave|xgetbv|xop|tbm|rtm|hle"
    r"|clflush|clwb|cldemote|serialize|waitpkg|ospke|pku|user_shstk)"
)
PREDEFINED_PROFILE = "containers-default-"  # its name goes on with the version of Podman's library


def host_findings(host: HostFacts) -> Iterator[Finding]:
    """Whether checkpoints and restores work on a host at all."""
    if host.rootless:
        yield blocker(
            "rootless",
            f"Podman is rootless on {host.host}, which cannot checkpoint or restore",
            "let the worker use root's socket: PODFERRY_SOCKET=/run/podman/podman.sock",
        )
    if host.checkpoint_reason:
        yield blocker(
            "checkpoint-unsupported",
            f"{host.host} cannot checkpoint or restore: {host.checkpoint_reason}",
            f"use a Podman 5 with CRIU on {host.host}",
        )
    if host.canary.state is CanaryState.FAILED:
        yield blocker(
            "criu-failed",
            f"CRIU does not work on {host.host}: {host.canary.reason}",
            f"run `criu check` on {host.host} and install what it misses",
        )
    if host.canary.state is CanaryState.NOT_RUN:
        because = f" ({host.canary.reason})" if host.canary.reason else ""
        yield warning(
            "criu-unproven",
            f"no checkpoint was tried on {host.host} yet{because}",
            "try one now: podferry preflight NAME --to HOST --canary",
        )


def pair_findings(
    container: ContainerFacts, source: HostFacts, target: HostFacts
) -> Iterator[Finding]:
    """What a container's processes would miss on the other machine."""
    yield from between(source, target, container.oci_runtime)
    yield from _apparmor(container, source, target)


def between(source: HostFacts, target: HostFacts, oci_runtime: str = "") -> Iterator[Finding]:
    """What any process would miss there; ``oci_runtime`` empty: the source's default one."""
    if source.architecture != target.architecture:
        yield blocker(
            "architecture",
            f"{target.host} is {target.architecture}, {source.host} is {source.architecture}",
            f"choose a target that is {source.architecture}",
        )
    else:
        yield from _cpu(source, target)
    runtime = oci_runtime or source.oci_runtime
    if runtime != target.oci_runtime:
        yield blocker(
            "runtime-differs",
            f"it runs under {runtime}, but {target.host} restores with {target.oci_runtime}",
            f'set runtime = "{runtime}" in containers.conf ([engine]) on {target.host}',
        )
    if source.cgroups and target.cgroups and source.cgroups != target.cgroups:
        yield blocker(
            "cgroup-differs",
            f"{target.host} has cgroups {target.cgroups}, {source.host} {source.cgroups}",
            f"give {target.host} the same cgroup version, and in containers.conf ([engine]) the "
            "same cgroup_manager",
        )
    if not at_least(target.kernel, numbers(source.kernel)):
        yield warning(
            "kernel-older",
            f"{target.host} has the older kernel ({target.kernel}, {source.host} {source.kernel})",
            f"update the kernel of {target.host}; a program that uses something newer fails there",
        )
    yield from _criu(source, target)


def _cpu(source: HostFacts, target: HostFacts) -> Iterator[Finding]:
    if not source.cpu_flags or not target.cpu_flags:
        return
    missing = sorted(set(source.cpu_flags) - set(target.cpu_flags))
    if source.architecture == "amd64":
        missing = [flag for flag in missing if _USED_BY_PROGRAMS.match(flag)]
    if missing:
        yield blocker(
            "cpu-features",
            f"the CPU of {target.host} lacks {', '.join(missing)}; "
            "a program that found them at its start would crash",
            f"choose a target with the CPU of {source.host}, or mask the features in both VMs",
        )


def _criu(source: HostFacts, target: HostFacts) -> Iterator[Finding]:
    had, has = source.canary.criu_version, target.canary.criu_version
    if had and has and not at_least(has, numbers(had)):
        yield blocker(
            "criu-older",
            f"{target.host} has CRIU {has}, older than the {had} of {source.host}",
            f"install CRIU {had} or newer on {target.host}",
        )


def _apparmor(container: ContainerFacts, source: HostFacts, target: HostFacts) -> Iterator[Finding]:
    profile = container.apparmor_profile
    if profile in {"", "unconfined"}:
        return
    of_podman = profile.startswith(PREDEFINED_PROFILE)
    if not target.apparmor or not of_podman or source.version != target.version:
        yield warning(
            "apparmor-differs",
            f"it is confined by AppArmor profile {profile}, which {target.host} may not have",
            f"load that profile on {target.host}, or use the same Podman version on both",
        )
