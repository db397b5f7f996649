"""Every threat in docs/threats.md names tests, and all of them exist."""

from __future__ import annotations

import ast
import re

from tests.lab import ROOT

PAGE = ROOT / "docs" / "threats.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROW = re.compile(r"(?m)^\| (?!tried|mistake|asset|---).*$")


def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_all_tests_that_it_names_exist() -> None:
    named = TEST.findall(PAGE.read_text())
    assert len(named) > 50
    lost = [(path, name) for path, name in named if not (ROOT / path).exists()]
    lost += [(path, name) for path, name in named if name not in functions(path)]
    assert lost == []


def test_every_threat_has_a_test_and_every_attacker_what_remains() -> None:
    assets, *attackers = re.split(r"(?m)^## ", PAGE.read_text())[1:]
    assert assets.startswith("What is worth")
    assert len(attackers) == 7
    for attacker in attackers:
        rows = ROW.findall(attacker)
        assert rows
        assert [row for row in rows if not TEST.search(row)] == []
        assert "**What remains" in attacker
