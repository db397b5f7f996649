"""Commands that make an installation's secrets."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

NEXT = """\
made {directory}/secrets and {directory}/.env, for their owner's eyes only
keep a copy of secrets/archive/keys.json elsewhere: without it no archive can be read
next, on this machine: make images && docker compose --env-file {directory}/.env up --detach
then, for each Podman host: podferry add-host NAME (docs/install.md)\
"""
NEXT_HOST = """\
made {made}
next: docker compose --env-file {directory}/.env restart redis (it reads its users anew)
then copy it, secrets/archive and secrets/authority to the same places there (docs/install.md)\
"""
DirectoryOption = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="Where `podferry init` made the secrets.")
]
DEFAULT = Path("/etc/podferry")


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


def add_host(
    host: Annotated[str, typer.Argument(help="The host's name.", show_default=False)],
    directory: DirectoryOption = DEFAULT,
    notices: Annotated[
        bool, typer.Option("--notices", help="Its worker looks for reclaim notices.")
    ] = False,
) -> None:
    """Make the password and settings of one more host's worker."""
    from workers.installation import add_host

    made = add_host(directory, host, notices=notices)
    typer.echo(NEXT_HOST.format(made=made, directory=directory.absolute()))


def renew_certificates(
    directory: DirectoryOption = DEFAULT,
    hub: Annotated[
        str,
        typer.Option("--hub", metavar="NAME", help="This machine's new name.", show_default=False),
    ] = "",
) -> None:
    """Make new certificates for Redis and MinIO, from the installation's authority."""
    from workers.renewal import renew_certificates

    for path in renew_certificates(directory, hub=hub or None):
        typer.echo(f"made {path}")
    typer.echo("next: restart Redis; MinIO reads its own anew. Hosts and clients need nothing.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (init, add_host, renew_certificates):
        app.command()(command)
