"""The command that makes an installation's secrets."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

NEXT = """\
made {directory}/secrets and {directory}/.env, for their owner's eyes only
keep a copy of secrets/archive/keys.json elsewhere: without it no archive can be read
next, on this machine: docker compose --env-file {directory}/.env up --detach --build
then, for each Podman host: copy secrets/host and secrets/archive there (docs/install.md)\
"""


def init(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to make them.")] = Path(
        "/etc/podferry"
    ),
    hub: Annotated[
        str,
        typer.Option(
            "--hub",
            metavar="NAME",
            help="The name at which the hosts reach this machine's Redis and object store; "
            "else its host name.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Make the passwords and keys of a new installation. Never overwrites any."""
    from workers.installation import make_installation  # bcrypt is for this command alone

    make_installation(directory, hub=hub or socket.gethostname())
    typer.echo(NEXT.format(directory=directory.absolute()))


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(init)
