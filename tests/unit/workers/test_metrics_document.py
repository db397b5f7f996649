"""docs/observability.md lists the metrics and the alerts that there are."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.tallies import TALLIES
from workers.metrics.gauges import GAUGES, PREFIX

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "observability.md").read_text()
ALERT = re.compile(
    r"- alert: (?P<name>\w+).*?severity: (?P<severity>\w+).*?summary: \"?(?P<summary>[^\"\n]+)",
    re.DOTALL,
)
VALUE = re.compile(r"\{\{ \$labels\.(\w+) \}\}|\{\{ \$value[^}]*\}\}")
OF_WORKERS = {"podferry_redis_up", "podferry_build_info"}


def metric_rows() -> list[str]:
    rows = [
        (tally.name, "histogram" if tally.buckets else "counter", tally.labels, tally.help)
        for tally in TALLIES
    ]
    rows += [(PREFIX + gauge.name, "gauge", gauge.labels, gauge.help) for gauge in GAUGES]
    return [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {told} |".replace(
            "|  |", "| |"
        )
        for name, kind, labels, told in rows
    ]


def alert_rows() -> list[str]:
    rules = (ROOT / "ops" / "prometheus" / "alerts.yml").read_text()
    return [
        f"| `{m['name']}` | {m['severity']} | {VALUE.sub(_placeholder, m['summary'])} |"
        for m in ALERT.finditer(rules)
    ]


def _placeholder(found: re.Match[str]) -> str:
    return (found[1] or "N").upper()


def test_the_document_lists_every_metric_and_no_other() -> None:
    lines = PAGE.splitlines()
    assert [row for row in metric_rows() if row not in lines] == []
    listed = re.findall(r"^\| `(podferry_\w+)` \|", PAGE, re.MULTILINE)
    known = {row.split("`")[1] for row in metric_rows()} | OF_WORKERS
    assert sorted(listed) == sorted(known)


def test_the_document_lists_every_alert_and_no_other() -> None:
    rows = alert_rows()
    assert len(rows) > 10
    assert [row for row in rows if row not in PAGE.splitlines()] == []
    assert PAGE.count("| `Podferry") == len(rows)
