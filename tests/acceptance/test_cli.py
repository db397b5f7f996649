"""What a person sees who mistypes, or whose servers are away. No server is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from podferry.cli.main import app
from tests.acceptance.console import commands
from tests.acceptance.typing_in import Done, Run, complaint
from tests.lab import ROOT
from workers.settings import Settings

NOWHERE = "redis://127.0.0.1:1/0"


def test_help_names_every_command(podferry: Run) -> None:
    done = podferry("--help")
    assert done.returncode == 0
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        assert command.hidden or f"  {name} " in done.stdout
    for group in app.registered_groups:
        assert f"  {group.name} " in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("ps",),
        ("hosts",),
        ("workers",),
        ("status",),
        ("status", "migrate-1"),
        ("watch", "migrate-1"),
        ("retry", "migrate-1"),
        ("migrate", "web", "--to", "b"),
        ("preflight", "web", "--to", "b"),
        ("checkpoint", "web"),
        ("cancel", "migrate-1"),
        ("resume", "migrate-1"),
        ("heal", "a"),
        ("drain", "a"),
        ("drains",),
        ("restore-host", "a"),
        ("cordon", "a"),
        ("place", "web"),
        ("schedule", "ls"),
        ("checkpoints",),
        ("checkpoints", "ls", "web"),
        ("checkpoints", "rm", "web/20260101T000000Z-000000", "--yes"),
        ("checkpoints", "prune"),
        ("worker", "--control"),
    ],
)
def test_a_broker_that_is_away_is_named(podferry: Run, words: tuple[str, ...]) -> None:
    line = complaint(podferry(*words, PODFERRY_REDIS_URL=NOWHERE, PODFERRY_STORE_URL="memory://"))
    assert "127.0.0.1:1" in line
    assert "does not answer" in line


def test_a_password_is_never_shown(podferry: Run) -> None:
    url = "redis://:s3cret@127.0.0.1:1/0"
    assert "s3cret" not in complaint(podferry("ps", PODFERRY_REDIS_URL=url))


def test_without_any_settings_the_next_step_is_named(podferry: Run) -> None:
    assert "podferry dev" in complaint(podferry("ps"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ps", "--redis", "nonsense"), "redis://HOST:PORT/0"),
        (("worker", "--redis", NOWHERE), "--host NAME, --control, or both"),
        (
            ("worker", "--host", "UPPER", "--redis", NOWHERE),
            "PODFERRY_HOST: 'UPPER' is no host's name",
        ),
        (("worker", "--control", "--log-level", "loud"), "PODFERRY_LOG_LEVEL: 'loud' is none of"),
        (("dev", "--socket", "/nowhere.sock"), "there is no Podman socket at /nowhere.sock"),
        (("flower",), "no broker is configured; set PODFERRY_REDIS_URL"),
        (("store-audit", "--listen", "hub:9465"), "--listen: it must be PORT, IP:PORT"),
        (("add-host", "a", "--dir", "/nowhere"), "make one with podferry init"),
        (("migrate", "web", "--deadline", "10m", "--redis", NOWHERE), "does not answer"),
        (("worker", "--control", "--bwlimit", "fast"), "PODFERRY_BWLIMIT: it must be NUMBER"),
        (("dev", "--bwlimit", "0"), "PODFERRY_BWLIMIT: it must be NUMBER"),
        (("up", "web", "--name", "w", "--host", "a", "-v", "oops"), "--volume wants"),
        (("up", "web", "--name", "w", "--host", "a", "-p", "oops"), "--publish wants"),
        (("up", "web", "--name", "w", "--host", "a", "-e", "oops"), "--env wants"),
        (("up", "web", "--name", "a b", "--host", "a"), "name"),
        (("up", "web", "--name", "w", "--host", "a", "--restart", "maybe"), "name"),
        (("drain", "a", "--deadline", "soon"), "--deadline: 'soon' is no duration"),
        (("migrate", "web", "--selector", "zone"), "is not KEY=VALUE"),
        (("schedule", "add", "x", "retention"), "say when"),
        (("checkpoints", "prune", "--keep-within", "7"), "--keep-within: '7' is no duration"),
        (("checkpoints", "prune", "--max-bytes", "much"), "--max-bytes wants"),
        (("checkpoints", "--store", "memory://", "ls"), "podferry checkpoints ls …"),
    ],
)
def test_bad_input_is_one_clear_line(podferry: Run, words: tuple[str, ...], expected: str) -> None:
    assert expected in complaint(podferry(*words))


def test_a_typo_in_a_command_or_option_is_a_usage_error(podferry: Run) -> None:
    mistyped = [("migrat",), ("place",), ("migrate", "web", "--too", "b")]
    for words in [
        *mistyped,
        ("checkpoints", "web"),
        ("checkpoints", "prune", "--keep-last", "0"),
        ("status", "--state", "odd"),
        ("migrate", "web", "--deadline", "soon"),
        ("migrate", "web", "--deadline", "0.5"),
        ("status", "--limit", "0"),
        ("watch",),
    ]:
        done = podferry(*words)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_a_pair_of_keys_for_messages_is_made_once(podferry: Run, tmp_path: Path) -> None:
    tmp_path /= "new"
    made = podferry("keys", "signing", str(tmp_path))
    assert made.stdout.split() == [
        *("made", str(tmp_path / "signing.pem"), "made", str(tmp_path / "verify.pem"))
    ]
    assert "PRIVATE" in (tmp_path / "signing.pem").read_text()
    assert "PRIVATE" not in (tmp_path / "verify.pem").read_text()
    assert "exists" in complaint(podferry("keys", "signing", str(tmp_path)))


def test_keys_are_made_listed_and_never_shown(podferry: Run, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    here = {"PODFERRY_KEY_FILE": str(file)}

    assert "podferry keys new" in complaint(podferry("keys", "ls", **here))
    made = [podferry("keys", "new", **here).stdout.split()[1] for _ in range(2)]
    listed = podferry("keys", "ls", "-o", "json", **here).stdout

    assert [(key["id"], key["current"]) for key in json.loads(listed)] == [
        (made[0], False),
        (made[1], True),
    ]
    table = podferry("keys", "ls", **here).stdout
    assert all(key_id in table for key_id in made)
    for key in json.loads(file.read_text())["keys"]:
        assert key["secret"] not in listed + table


def test_documented_commands_and_options_exist(podferry: Run) -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = [c.split() for d in documents for c in commands(d) if c.startswith("podferry ")]
    assert shown
    groups = {group.name for group in app.registered_groups}
    for words in shown:
        command = words[1:3] if words[1] in groups and len(words) > 2 else words[1:2]
        help_text = podferry(*command, "--help").stdout
        assert help_text, words
        for option in (w.partition("=")[0] for w in words if w.startswith("--")):
            assert option in help_text, words


def test_documented_make_targets_exist() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    makefile = (ROOT / "Makefile").read_text()
    targets = {c.split()[1] for d in documents for c in commands(d) if c.startswith("make ")}
    assert targets
    for target in targets:
        assert f"\n{target}:" in makefile, target


def test_settings_are_documented() -> None:
    documents = [ROOT / "docs" / name for name in ("operating.md", "storage.md")]
    text = "".join(document.read_text() for document in documents)
    for name in Settings.model_fields:
        assert f"`PODFERRY_{name.upper()}`" in text, name


def test_the_installed_command_works() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("podferry")), "ps", "--redis", NOWHERE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "does not answer" in complaint(Done(done.returncode, done.stdout, done.stderr))
