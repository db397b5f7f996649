from __future__ import annotations

import pytest

from podferry.cli.yaml import Plain, to_yaml


def test_records_are_spelled_in_blocks() -> None:
    record: Plain = {
        "id": "web/20260101T000000Z-000000",
        "size": 5,
        "pin": None,
        "image": {"name": "localhost/web:1", "archived": True},
        "volumes": ["data", "logs"],
        "parts": [{"size": 1, "of": ["a"]}, {"size": 2}],
        "networks": [],
        "facts": {},
    }
    assert to_yaml(record).splitlines() == [
        "id: web/20260101T000000Z-000000",
        "size: 5",
        "pin: null",
        "image:",
        '  name: "localhost/web:1"',
        "  archived: true",
        "volumes:",
        "  - data",
        "  - logs",
        "parts:",
        "  - size: 1",
        "    of:",
        "      - a",
        "  - size: 2",
        "networks: []",
        "facts: {}",
    ]


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("", '""'),
        ("yes", '"yes"'),
        ("Null", '"Null"'),
        ("12", '"12"'),
        ("2026-01-01", '"2026-01-01"'),
        ("- a", '"- a"'),
        ("a: b # c", '"a: b # c"'),
        ("ä😀", '"ä😀"'),
        ("line\nbreak", '"line\\nbreak"'),
        ("\x85\u2028", '"\\u0085\\u2028"'),
        (1e-05, "1.0e-05"),
        (1.5, "1.5"),
        ([], "[]"),
        ([[1], []], "- - 1\n- []"),
    ],
)
def test_nothing_is_taken_for_something_else(value: Plain, spelled: str) -> None:
    assert to_yaml(value) == spelled
