from __future__ import annotations

from typing import Any

import pytest
from celery.events.state import Task

from workers.flower import readable

MIGRATION = "migrate-20261123231634-508b5c"


def task(**fields: Any) -> Task:  # noqa: ANN401 - whatever an event carries
    about = {"workflow_id": MIGRATION, "step": 4, "epoch": 1}
    return Task(**{"kwargs": repr(about), "state": "STARTED", **fields})


def test_a_task_says_which_step_of_what_it_is() -> None:
    assert readable(task()).kwargs == f"{MIGRATION}, step 5"
    again = repr({"workflow_id": MIGRATION, "step": 0, "epoch": 2, "signature": "c2ln"})
    assert readable(task(kwargs=again)).kwargs == f"{MIGRATION}, step 1, plan 2"


@pytest.mark.parametrize("kwargs", [None, "{}", "{'workflow_id': 'mig...", "...", "[1]"])
def test_other_arguments_stay_as_they_are(kwargs: str | None) -> None:
    assert readable(task(kwargs=kwargs)).kwargs == kwargs


def test_progress_is_told_in_words() -> None:
    found = readable(task(state="PROGRESS", result=repr({"bytes": 52428800})))
    assert found.result == "50.0 MiB so far"


def test_a_result_is_told_in_words() -> None:
    result = {"checkpoint": "web/1", "bytes": 1 << 20, "raw_bytes": 1 << 21, "members": [{}]}
    found = readable(task(state="SUCCESS", result=repr(result)))
    assert found.result == "checkpoint web/1, 1.0 MiB, 2.0 MiB raw"
    assert readable(task(state="SUCCESS", result="{}")).result == ""
    assert readable(task()).result is None


@pytest.mark.parametrize(
    ("exception", "reason"),
    [
        ("StepFailedError('no CRIU: install it')", "no CRIU: install it"),
        ("""StepFailedError("no image 'web'",)""", "no image 'web'"),
        ("WorkerLostError(9)", "WorkerLostError: 9"),
        ("StepFailedError('cut sho...", "StepFailedError('cut sho..."),
        (None, ""),
    ],
)
def test_a_failure_tells_its_reason(exception: str | None, reason: str) -> None:
    found = readable(task(state="FAILURE", exception=exception))
    assert (found.result, found.exception) == (reason, reason)
