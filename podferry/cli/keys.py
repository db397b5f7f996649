"""Commands for keys: of archives, and of messages. They show ids and places, never a key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from podferry.cli.common import Output, OutputOption, moment, print_records, print_table
from tasks.signing import new_key_pair, write_new
from workers.settings import load_settings

keys = typer.Typer(
    no_args_is_help=True,
    help="The keys that archives are sealed with, in this host's key file, and of messages.",
)


@keys.command("ls")
def ls(output: OutputOption = Output.TABLE) -> None:
    """List the keys, the current one last."""
    found = load_settings().key_ring().keys()
    if output is not Output.TABLE:
        lines = [
            {**key.model_dump(mode="json", exclude={"secret"}), "current": key is found[-1]}
            for key in found
        ]
        print_records(lines, output)
        return
    rows = [(key.id, moment(key.created), "current" if key is found[-1] else "") for key in found]
    print_table("", ("key", "created", ""), rows)


@keys.command("new")
def new() -> None:
    """Add a key and make it the current one; what exists is still read with the older ones.

    The key file is made when there is none. Copy it to every host before the next move.
    """
    file = load_settings().key_ring()
    typer.echo(f"key {file.add().id} is now the current one in {file.path}")


@keys.command("signing")
def signing(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to make signing.pem and verify.pem.")
    ] = Path(),
) -> None:
    """Make a pair of keys for messages: control workers sign with one, hosts check with the other.

    PODFERRY_SIGNING_KEY_FILE names the first on the control side, PODFERRY_VERIFY_KEY_FILE the
    second on every host.
    """
    for name, content in zip(("signing.pem", "verify.pem"), new_key_pair(), strict=True):
        write_new(directory / name, content)
        typer.echo(f"made {directory / name}")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(keys, name="keys")
