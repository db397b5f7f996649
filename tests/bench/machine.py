"""The machine that it is measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from tasks.models import now
from tests.bench.records import Machine
from tests.lab import Lab

GIB = 2**30
WORKING = (0, 1, 2, 5, 6)  # proc_stat(5): user, nice, system, irq, softirq


def machine(lab: Lab | None) -> Machine:
    """What may explain a number."""
    versions = {"Podferry": version("podferry"), "Python": platform.python_version()}
    if lab is not None:
        for name, command in {
            "Podman": ("podman", "--version"),
            "CRIU": ("criu", "--version"),
        }.items():
            words = lab.enter("a", *command).stdout.split()
            versions[name] = next((word for word in words if word[0].isdigit()), "unknown")
    return Machine(
        taken=now(),
        cores=os.cpu_count() or 0,
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB,
        kernel=platform.release(),
        load=os.getloadavg()[0],
        versions=versions,
    )


def cpu_seconds() -> float:
    """What all processes of this machine have worked since it was started."""
    ticks = Path("/proc/stat").read_text().split(maxsplit=8)[1:8]
    return sum(int(ticks[which]) for which in WORKING) / os.sysconf("SC_CLK_TCK")
