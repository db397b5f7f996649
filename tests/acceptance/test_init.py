"""Making an installation's secrets, as a person does."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.typing_in import Run, complaint


def test_init_says_what_is_next_and_shows_no_secret(podferry: Run, tmp_path: Path) -> None:
    done = podferry("init", str(tmp_path), "--hub", "hub.example")
    assert done.returncode == 0, done.stderr
    assert f"docker compose --env-file {tmp_path}/.env up" in done.stdout
    for path in (tmp_path / "secrets").rglob("*"):
        if path.is_file() and len(path.read_text()) > 20 and not path.name.endswith("_file"):
            assert path.read_text().strip() not in done.stdout, path
    added = podferry("add-host", "a", "--dir", str(tmp_path))
    assert added.stdout.splitlines()[0] == f"made {tmp_path}/secrets/host.a"


def test_init_does_not_touch_what_is_there(podferry: Run, tmp_path: Path) -> None:
    assert podferry("init", str(tmp_path)).returncode == 0
    before = {path: path.stat() for path in tmp_path.rglob("*")}
    done = podferry("init", str(tmp_path))
    assert complaint(done) == (
        f"error: {tmp_path}/secrets exists, and nothing of it is overwritten; "
        "name another directory, or move it away"
    )
    assert {path: path.stat() for path in tmp_path.rglob("*")} == before
