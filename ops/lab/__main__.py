"""Real Podman hosts on one machine, for the demo, the integration tests and the benchmarks."""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn

import cgroups
import fleet
import services
from kernel import LabError
from lab import Lab
from layout import HUB


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python3 ops/lab", description=__doc__)
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(os.environ.get("PODFERRY_LAB", ".lab")),
        help="the lab's directory (default: $PODFERRY_LAB, else .lab)",
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--dir", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help: str, argument: str = "") -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help, parents=[shared])
        if argument:
            command.add_argument("name", metavar=argument)
        return command

    up = add("up", "bring the lab up, or repair it, or add hosts")
    up.add_argument(
        "--hosts", metavar="A,B", help="hosts to have besides those that are there (default: a,b)"
    )
    up.add_argument(
        "--minio", choices=["auto", "yes", "no"], default="auto", help="auto: if it has been built"
    )
    add("down", "remove every trace of the lab except its logs")
    status = add("status", "show the services and how they are")
    status.add_argument("-o", dest="output", choices=["table", "json"], default="table")
    for name, help, argument in (
        (
            "exec",
            "run a command in a node's network, this machine's files, and podferry's settings",
            "NODE",
        ),
        ("enter", "run a command on a host, with the host's files and processes", "HOST"),
    ):
        add(name, help, argument).add_argument("argv", metavar="CMD", nargs=argparse.REMAINDER)
    add("cut", "cut a node off the network", "NODE")
    add("mend", "undo a cut", "NODE")
    add("stop", "stop a service: redis, minio, or a host's name for its Podman API", "SERVICE")
    add("start", "start a service that was stopped", "SERVICE")
    action = add(
        "workers", "start or stop Podferry's workers: one a host, a control one on the hub"
    )
    action.add_argument("action", choices=["start", "stop", "restart"])
    action.add_argument(
        "--program", type=shlex.split, default=[], help="what to run in podferry's place"
    )
    return parser


def command_of(arguments: argparse.Namespace) -> list[str]:
    """Return the CMD part without the dashes in front of it."""
    argv: list[str] = arguments.argv
    argv = argv[1:] if argv[:1] == ["--"] else argv
    if not argv:
        raise LabError("no command given")
    return argv


def execute(argv: list[str]) -> NoReturn:
    """Become the command, so that signals and the process id are its own."""
    try:
        os.execvp(argv[0], argv)  # noqa: S606 -- a shell would be one more process
    except FileNotFoundError:
        raise LabError(f"{argv[0]} is missing; run ops/setup/system.sh") from None


def enter(lab: Lab, host: str, argv: list[str]) -> NoReturn:
    """Become a command on a host."""
    lab.require(host, lab.hosts)
    init = services.host_init(lab.netns(host))
    if not init:
        raise LabError(f"host {host} is down; `up` boots it")
    cgroups.join(lab.cgroup(host))
    execute(services.in_host(init, argv, [f"TERM={os.environ.get('TERM', 'dumb')}"]))


def print_status(rows: list[dict[str, Any]], output: str) -> None:
    """Print the rows as a table or as JSON."""
    if output == "json":
        print(json.dumps(rows, indent=2))
        return
    table = [
        list(rows[0]),
        *(["-" if cell is None else str(cell) for cell in row.values()] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def perform(arguments: argparse.Namespace) -> None:
    """Do what the command line says."""
    if os.geteuid():
        raise LabError("the lab needs root")
    lab = Lab(arguments.dir)
    match arguments.command:
        case "up":
            lab.up(arguments.hosts.split(",") if arguments.hosts else None, arguments.minio)
        case "down":
            lab.down()
        case "status":
            print_status(lab.status(), arguments.output)
        case "exec":
            lab.require(arguments.name, [HUB, *lab.hosts])
            os.environ.update(fleet.settings(lab, arguments.name))
            execute(services.in_netns(lab.netns(arguments.name), command_of(arguments)))
        case "enter":
            enter(lab, arguments.name, command_of(arguments))
        case "cut":
            lab.set_link(arguments.name, "down")
        case "mend":
            lab.set_link(arguments.name, "up")
        case "stop":
            lab.stop(arguments.name)
        case "start":
            lab.start(arguments.name)
        case "workers":
            if arguments.action in {"stop", "restart"}:
                fleet.stop(lab)
            if arguments.action in {"start", "restart"}:
                fleet.start(lab, arguments.program)


def main() -> int:
    """Run the command line; return the exit code."""
    try:
        perform(parser().parse_args())
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
