from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from runtime import HealthCheck, RunSpec
from runtime.deriving import ASKED
from runtime.health_forms import from_engine, to_engine
from runtime.podman_requests import podman_body
from tests.unit.runtime.test_round_trip import CHECKS, FRESH, inspected

OFF = HealthCheck()
# What an engine takes for a check of which nobody said more than the command.
BY_DEFAULT = {"interval_seconds": 30, "timeout_seconds": 30, "retries": 3}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, None),
        ({}, None),
        ({"Test": None}, None),
        ({"Test": []}, None),
        ({"Test": ["NONE"], "Interval": 1}, OFF),
        ({"Test": ["CMD", "ready", "-q"]}, HealthCheck(command=("ready", "-q"), **BY_DEFAULT)),
        (
            {"Test": ["CMD-SHELL", "a && b"], "Interval": 0, "Timeout": 0, "Retries": 0},
            HealthCheck(command=("/bin/sh", "-c", "a && b"), **BY_DEFAULT),
        ),
        (
            {
                "Test": ["CMD", "x"],
                "Interval": 2_000_000_000,
                "Timeout": 500_000_000,
                "StartPeriod": 90_000_000_000,
                "StartInterval": 1_000_000_000,
                "Retries": 9,
            },
            HealthCheck(
                command=("x",),
                interval_seconds=2,
                timeout_seconds=0.5,
                start_period_seconds=90,
                start_interval_seconds=1,
                retries=9,
            ),
        ),
    ],
)
def test_an_engines_form(config: dict[str, Any] | None, expected: HealthCheck | None) -> None:
    assert from_engine(config) == expected


@given(CHECKS)
def test_an_engine_is_told_all_of_a_check(check: HealthCheck) -> None:
    assert from_engine(to_engine(check)) == check


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"test": "a && b"}, HealthCheck(command=("/bin/sh", "-c", "a && b"), **BY_DEFAULT)),
        (
            {"test": ["CMD-SHELL", "a"], "retries": "3"},
            HealthCheck(command=("/bin/sh", "-c", "a"), **BY_DEFAULT),
        ),
        ({"test": ["CMD", "a", "b c"]}, HealthCheck(command=("a", "b c"), **BY_DEFAULT)),
        ({"test": ["NONE"], "interval": "5s"}, OFF),
        ({"disable": True}, OFF),
        ({"disable": True, "test": "x"}, OFF),
        (
            {
                "test": ["CMD", "x"],
                "interval": "1m30s",
                "timeout": "250ms",
                "start_period": "1h0m0.5s",
                "start_interval": "2s",
                "retries": 5,
                "disable": False,
            },
            HealthCheck(
                command=("x",),
                interval_seconds=90,
                timeout_seconds=0.25,
                start_period_seconds=3600.5,
                start_interval_seconds=2,
                retries=5,
            ),
        ),
        (
            {"test": "x", "interval": "0s", "timeout": None, "retries": 0},
            HealthCheck(command=("/bin/sh", "-c", "x"), **BY_DEFAULT),
        ),
    ],
)
def test_a_compose_files_form(entry: dict[str, Any], expected: HealthCheck) -> None:
    assert HealthCheck.from_compose(entry) == expected


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({}, "healthcheck.test wants a shell command"),
        ({"test": ""}, "healthcheck.test wants"),
        ({"test": []}, "healthcheck.test wants"),
        ({"test": ["CMD"]}, "healthcheck.test wants"),
        ({"test": ["CMD-SHELL", "a", "b"]}, "healthcheck.test wants"),
        ({"test": ["curl", "localhost"]}, "begins with CMD, CMD-SHELL or NONE"),
        ({"test": ["CMD", 5]}, "healthcheck.test wants"),
        ({"test": "x", "interval": 30}, "healthcheck.interval wants a duration .* not 30$"),
        ({"test": "x", "timeout": "30"}, "healthcheck.timeout wants a duration such as 30s"),
        ({"test": "x", "start_period": "1m 30s"}, "healthcheck.start_period wants"),
        ({"test": "x", "start_interval": "-1s"}, "healthcheck.start_interval wants"),
        ({"test": "x", "interval": "1d"}, "healthcheck.interval wants"),
        ({"test": "x", "retries": "3x"}, "healthcheck.retries wants a count, not '3x'"),
        ({"test": "x", "retries": -1}, "healthcheck.retries wants"),
        ({"test": "x", "retries": True}, "healthcheck.retries wants"),
        ({"disable": "yes"}, "healthcheck.disable wants true or false, not 'yes'"),
        ({"test": "x", "intervall": "1s"}, "healthcheck has no 'intervall'; it takes disable, in"),
    ],
)
def test_a_compose_file_that_says_something_else_is_told_what_is_wrong(
    entry: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        HealthCheck.from_compose(entry)


@given(CHECKS)
def test_podman_is_told_of_no_check_but_the_spec_comes_back(check: HealthCheck) -> None:
    spec = RunSpec(name="c", image="i", labels={"mine": "1"}, health=check)
    body = podman_body(spec)

    assert body["Healthcheck"] == {"Test": ["NONE"]}
    assert body["Labels"] == {"mine": "1"}
    assert RunSpec.from_inspect(inspected(spec, body, podman=True), FRESH) == spec


def test_a_native_check_that_someone_gave_it_later_counts() -> None:
    spec = RunSpec(name="c", image="i", health=HealthCheck(command=("a",)))
    answer = inspected(spec, podman_body(spec), podman=True)
    assert ASKED in answer["HostConfig"]["Annotations"]

    answer["Config"]["Healthcheck"] = {"Test": ["CMD", "b"]}

    found = RunSpec.from_inspect(answer, FRESH).health
    assert found == HealthCheck(command=("b",), **BY_DEFAULT)
