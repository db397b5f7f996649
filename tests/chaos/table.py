"""The matrix as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.chaos.rows import Accident
from tests.chaos.trial import Trial

HEAD = """# What happens when something dies

A container with a counter, a volume and a restart policy moves from host a to host b, and at one
moment an accident happens. Real Podman, CRIU, Redis, MinIO and Celery workers; `make chaos` tries
every row and writes this page, and the tests try a tenth of the rows, another tenth with each
commit.

After each accident, within the deadline: exactly one copy runs, on the host that the record names,
its counter never behind and its memory as it was (unless the outcome says `cold`), its restart
policy in force; or none runs, and the command that the record names brings it back. The other host
has no container and no volume of it, and the store, once pruned, complete checkpoints only.

Moments: `claimed` is when the step was entered, `worked` before its result is recorded,
`committed` when it is and the next step has not heard of it. The others are calls of the engine
and the store; `half` is in the midst of a stream, `permitted` after the record gave leave to bring
the copy to life.
"""


def table(trials: Sequence[Trial]) -> str:
    """All of them, and the sums."""
    outcomes = Counter(trial.outcome for trial in trials)
    sums = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    wrong = sum(bool(trial.wrong) for trial in trials)
    lines = [
        HEAD,
        f"{len(trials)} accidents: {sums}; {wrong or 'none'} not as promised.",
        "",
        *_section(trials),
    ]
    return "\n".join(lines) + "\n"


def _section(trials: Sequence[Trial]) -> list[str]:
    lines = []
    for accident in Accident:
        own = [trial for trial in trials if trial.row.accident is accident]
        if own:
            lines += [f"## {accident[0].upper()}{accident[1:]}", "", *_rows(own), ""]
    return lines[:-1]


def _rows(trials: Sequence[Trial]) -> list[str]:
    lines = ["| step | moment | outcome | plans | verdict |", "|---|---|---|---|---|"]
    return lines + [
        f"| {t.row.unit} | {t.row.point} | {t.outcome} | {t.tries} "
        f"| {'; '.join(t.wrong) or 'as promised'} |"
        for t in trials
    ]
