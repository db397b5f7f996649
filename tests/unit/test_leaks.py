"""What is searched for secrets is found out where it shows one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.leaks import logs, nothing_leaked

SECRET = "a/b+c passw0rd=="
HIDDEN = {"password": SECRET, "other": "planted-1234567"}


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"redis://:{quote(SECRET, safe='')}@hub",
        json.dumps({"error": {"reason": f"no {SECRET} here"}}),
        *(base64.b64encode(f"{'x' * n}{SECRET}{'y' * n}".encode()).decode() for n in range(7)),
    ],
)
def test_a_secret_is_found_in_whatever_form_and_not_shown(text: str) -> None:
    with pytest.raises(AssertionError, match="password in somewhere") as refused:
        nothing_leaked(HIDDEN, [("elsewhere", "nothing"), ("somewhere", text)])
    assert SECRET not in str(refused.value)


def test_what_a_request_brought_is_kept_on_purpose() -> None:
    nothing_leaked(HIDDEN, [("key podferry:payload:up-web-1", SECRET), ("elsewhere", "nothing")])


def test_a_secret_that_is_too_short_to_be_told_apart_is_none() -> None:
    with pytest.raises(AssertionError, match="too short"):
        nothing_leaked({"password": "podferry"}, [])


def test_logs_are_those_of_a_directory(tmp_path: Path) -> None:
    for name in ("a-worker.log", "log", "keys.json"):
        (tmp_path / name).write_text(name)
    assert dict(logs(tmp_path)) == {"a-worker.log": "a-worker.log", "log": "log"}
