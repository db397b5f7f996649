"""The audit of what is pinned, with pip-audit as it is, and the bill of materials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.lab import ROOT
from tests.services import free_port

Done = subprocess.CompletedProcess[str]
Audit = Callable[..., Done]
FLAW = {
    "id": "GHSA-0000-0000-0001",
    "aliases": ["CVE-2026-11111"],
    "summary": "Lets everybody in.",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "rusty"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]},
            ],
        }
    ],
}
TODAY = datetime.now(UTC).date()


def dependencies(*words: str) -> Done:
    command = [sys.executable, str(ROOT / "ops" / "dependencies"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def advisories() -> Iterator[str]:
    """Where a server tells, as OSV does, that ``rusty`` 1.0 has a flaw."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = json.dumps({"vulns": [FLAW]} if asked["package"]["name"] == "rusty" else {})
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: pytest shows what matters."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def audit(advisories: str, tmp_path: Path) -> Audit:
    """Audits a lock that pins these distributions, with these entries in ignored.toml."""

    def run(*pins: str, ignored: str = "", url: str = advisories) -> Done:
        lock, file = tmp_path / "lock", tmp_path / "ignored.toml"
        lock.write_text("".join(f"{pin} \\\n    --hash=sha256:{'0' * 64}\n" for pin in pins))
        file.write_text(ignored)
        return dependencies("--lock", str(lock), "audit", "--osv-url", url, "--ignored", str(file))

    return run


def entry(**fields: str) -> str:
    known = {
        "id": '"CVE-2026-11111"',
        "package": '"rusty"',
        "since": str(TODAY),
        "until": str(TODAY + timedelta(days=1)),
        "reason": '"nothing here calls it"',
    }
    return "[[ignored]]\n" + "".join(f"{k} = {v}\n" for k, v in {**known, **fields}.items() if v)


def test_what_nobody_has_warned_of_passes(audit: Audit) -> None:
    done = audit("shiny==2.0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "audit: 1 distributions, no known vulnerability\n"


def test_a_known_vulnerability_fails(audit: Audit) -> None:
    done = audit("shiny==2.0", "rusty==1.0")
    assert done.returncode == 1
    assert "rusty 1.0: CVE-2026-11111, GHSA-0000-0000-0001; fixed in 1.1" in done.stderr
    assert "make lock" in done.stderr


def test_one_that_is_ignored_is_named_and_passes(audit: Audit) -> None:
    done = audit("rusty==1.0", ignored=entry())
    assert done.returncode == 0, done.stderr
    assert "ignored: rusty 1.0: CVE-2026-11111" in done.stdout


@pytest.mark.parametrize(
    "fields",
    [
        {"until": str(TODAY - timedelta(days=1))},
        {"package": '"shiny"'},
        {"id": '"CVE-2026-22222"'},
        {"reason": ""},
        {"reason": '""'},
        {"until": '"for ever"'},
    ],
    ids=str,
)
def test_an_entry_that_is_over_or_says_too_little_ignores_nothing(
    audit: Audit, fields: dict[str, str]
) -> None:
    assert audit("rusty==1.0", ignored=entry(**fields)).returncode == 1


def test_an_entry_that_nothing_needs_any_more_is_named(audit: Audit) -> None:
    done = audit("shiny==2.0", ignored=entry())
    assert done.returncode == 0
    assert "not found any more: CVE-2026-11111" in done.stdout


def test_without_a_network_it_says_so_and_fails_nobody(audit: Audit) -> None:
    done = audit("rusty==1.0", url=f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "NOT AUDITED" in done.stdout


def test_a_lock_that_cannot_be_read_is_no_missing_network(audit: Audit) -> None:
    done = audit("rusty==1.0", "rusty==2.0")
    assert done.returncode == 1
    assert "pip-audit failed" in done.stderr


def test_the_bill_of_materials_has_all_that_is_pinned_and_is_always_the_same(
    tmp_path: Path,
) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    for file in (one, other):
        assert dependencies("sbom", str(file)).returncode == 0
    assert one.read_bytes() == other.read_bytes()
    bill = json.loads(one.read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "podferry")
    pinned = re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.lock").read_text())
    listed = {(c["name"], c["version"]): c["externalReferences"] for c in bill["components"]}
    assert set(pinned) == set(listed)
    assert all(hashed["hashes"] for references in listed.values() for hashed in references)
