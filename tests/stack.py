"""The fleet of docs/install.md in a lab: docker-compose.yml on one host, workers on two more.

There is no registry: what the file would pull is made of Debian's packages, under the same names.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from runtime import BuildSpec
from runtime.context import build_context
from tests.acceptance.console import commands
from tests.fleet import HOSTS, IMAGE, Fleet
from tests.lab import ROOT, counter_context, lab, missing
from tests.services import cached_program

HUB = "c"
HOME = "/opt/podferry"  # where the repository is on the hub
DOCUMENT = ROOT / "docs" / "install.md"
NAME, ADDRESS = "hub.example", "192.0.2.10"  # of the hub, in the document
SHIPPED = (
    *("docker-compose.yml", ".dockerignore", "pyproject.toml", "README.md", "LICENSE", "ops"),
    *("podferry", "workers", "tasks", "storage", "runtime"),
)
# `docker` as podman-docker has it, and Compose as its plug-in
DOCKER = """#!/bin/sh
export DOCKER_HOST=unix:///run/podman/podman.sock
[ "$1" = compose ] || exec podman "$@"
shift
exec docker-compose "$@"
"""
# Podman lets systemd run health checks at their times, and a lab host has none.
CHECKS = """
while :; do
    for container in $(podman ps --quiet --filter health=starting --filter health=unhealthy); do
        podman healthcheck run "$container" >/dev/null 2>&1
    done
    sleep 0.5
done
"""
PROMETHEUS = """FROM localhost/debian:latest
RUN install --directory --owner=nobody /prometheus
COPY prometheus promtool /bin/
ENTRYPOINT ["/bin/prometheus"]
"""
OFFLINE = (
    "--network none --volume /wheels:/wheels:ro --build-arg BASE=localhost/debian:latest "
    "--build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=/wheels"
)
CHECKING = "docker compose exec "  # lines that install nothing
SLOWLY = "PODFERRY_BWLIMIT=10M"  # so that a move is under way for some seconds
SYSTEMD_ONLY = {"--cgroups=split", "--sdnotify=conmon"}  # of a quadlet's command line


class Stack(Fleet):
    """Two Podman hosts with workers, and a hub with what docker-compose.yml says."""

    def command(self, *words: str) -> list[str]:
        """A podferry command line, as one types it on the hub."""
        return self.on_hub("docker", "compose", "exec", "-T", "control", "podferry", *words)

    def on_hub(self, *words: str) -> list[str]:
        """A command line on the hub, in the repository."""
        return self._on(HUB, 'cd "$0" && exec "$@"', HOME, *words)

    def type(self, line: str) -> str:
        """Type a line of the document on the hub; what follows `ssh` happens on that host."""
        line = line.replace(ADDRESS, str(self.lab.state["hosts"][HUB]["address"]))
        here, _, there = line.partition(" | ")
        if here == "make images":
            here = f"ops/images/build.sh {OFFLINE}"
        words = self._ssh(here) or self.on_hub("bash", "-c", here)
        return piped(words, self._ssh(there)) if there else piped(words)

    def _ssh(self, line: str) -> list[str]:
        found = re.fullmatch(r"ssh root@(\w+) (.*)", line)
        if not found:
            return []
        host, command = found.groups()
        if command == "systemctl start podferry-host":
            return self._on(host, self._unit(host))
        return self._on(host, "true" if command.startswith("systemctl") else command)

    def _unit(self, host: str) -> str:
        """What systemd would run for the quadlet."""
        unit = piped(self._on(host, "/usr/libexec/podman/quadlet -dryrun"))
        (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        for name, value in {"%t": "/run", "%N": "podferry-host", "%l": host}.items():
            line = line.replace(name, value)
        return shlex.join(word for word in shlex.split(line) if word not in SYSTEMD_ONLY)

    def _on(self, host: str, script: str, *words: str) -> list[str]:
        return self.lab.command("enter", host, "--", "bash", "-c", script, *words)

    # What is there before the document begins

    def prepare(self) -> None:
        """Put the repository and stand-ins for a registry's images on the hub."""
        debian, wheels = setup("debian.sh"), setup("wheels.sh")
        cache = Path(cached_program("mc")).parent
        self._ship(ROOT, HOME, SHIPPED)
        self._ship(wheels, "/wheels", ["."])
        programs = [f"{name}{end}" for name in ("minio", "mc") for end in ("", ".version")]
        self._ship(cache, "/root/.cache/podferry/bin", programs)
        self._ship(debian, "/usr/local/bin", ["docker-compose"])
        self._ship(debian, "/prometheus", ["prometheus", "promtool"])
        docker = "cat >/usr/local/bin/docker && chmod 755 /usr/local/bin/docker"
        piped(["printf", "%s", DOCKER], self._on(HUB, docker))
        base = self._on(HUB, "podman import --quiet - localhost/debian:latest")
        piped(["cat", str(debian / "base.tar")], base)
        nginx, prometheus = image("nginx"), image("prometheus")
        build = f"podman build --quiet --tag {prometheus} --file - /prometheus"
        piped(["printf", "%s", PROMETHEUS], self._on(HUB, build))
        piped(self._on(HUB, f"podman tag localhost/debian:latest {nginx}"))
        for host in self.hosts:
            entry = f"echo {self.lab.state['hosts'][HUB]['address']} {NAME} >>/etc/hosts"
            limit = f"mkdir -m 700 /etc/podferry && echo {SLOWLY} >/etc/podferry/worker.env"
            piped(self._on(host, f"{entry} && {limit}"))

    def _ship(self, source: Path, target: str, names: Sequence[str]) -> None:
        tar = ["tar", "-C", str(source), "--exclude=__pycache__", "-c", *names]
        piped(tar, self._on(HUB, f"mkdir -p {target} && tar -x -C {target}"))

    def load_counter(self) -> None:
        """Build the counting image on every host."""
        with counter_context() as context:
            for host in self.hosts:
                self.runtime(host).build(
                    BuildSpec(tag=IMAGE), build_context(context), on_log=lambda line: None
                )


@contextmanager
def stack() -> Iterator[Stack]:
    """All of it, as the document makes it: its lines are typed up to those of the first check."""
    with lab([*HOSTS, HUB]) as made:
        found = Stack(made)
        found.prepare()
        found.load_counter()
        checks = subprocess.Popen(found.on_hub("bash", "-c", CHECKS), stdin=subprocess.DEVNULL)
        try:
            for line in installing():
                found.type(line)
            yield found
        except AssertionError:
            told = "docker compose ps --all; docker compose logs --no-color --tail 20"
            subprocess.run(found.on_hub("bash", "-c", told), check=False)
            raise
        finally:
            checks.kill()  # what it leaves on the hub goes with the lab
            checks.wait()


def installing() -> Iterator[str]:
    """The lines of the document that install: the hub, then host after host."""
    lines = [line for line in commands(DOCUMENT) if not line.startswith(CHECKING)]
    hub = lines.index(next(line for line in lines if "add-host" in line))
    yield from lines[:hub]
    for host in HOSTS:
        for line in lines[hub:]:
            line = re.sub(r"\b(add-host |host\.|root@)a\b", rf"\g<1>{host}", line)
            yield line


def image(service: str) -> str:
    """The image of a service that docker-compose.yml would have pulled."""
    text = (ROOT / "docker-compose.yml").read_text()
    (found,) = re.findall(rf"image: (docker\.io/\S*/{service}:\S+)", text)
    return str(found)


def setup(script: str) -> Path:
    """What a script in ops/setup has made, or makes now."""
    done = subprocess.run(
        [str(ROOT / "ops" / "setup" / script)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        missing(done.stderr)
    return Path(done.stdout.splitlines()[-1])


def piped(*commands: Sequence[str]) -> str:
    """The output of the last of some commands, of which each reads what the one before wrote."""
    *before, last = commands
    source: int | IO[bytes] | None = subprocess.DEVNULL
    started = []
    for command in before:
        started.append(subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE))
        source = started[-1].stdout
    done = subprocess.run(last, stdin=source, capture_output=True, text=True, check=False)
    for process in started:
        if process.stdout:
            process.stdout.close()
        assert process.wait() == 0, process.args
    assert done.returncode == 0, f"{shlex.join(last)}: {done.stdout}{done.stderr}"
    return done.stdout
