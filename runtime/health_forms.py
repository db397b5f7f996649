"""Health checks as others spell them <-> HealthCheck: engines and images, compose files. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.run_parts import HealthCheck

NANOSECONDS = 1e9
SHELL = ("/bin/sh", "-c")  # what runs the CMD-SHELL of a health check
# What Docker and Podman take where nobody said, or said 0 (moby, daemon/health.go).
ENGINES_SECONDS = 30  # between two checks, and for one
ENGINES_RETRIES = 3

# Fields of HealthCheck -> keys of an engine or an image (nanoseconds), and of a compose file.
_TIMES = {
    "interval_seconds": ("Interval", "interval"),
    "timeout_seconds": ("Timeout", "timeout"),
    "start_period_seconds": ("StartPeriod", "start_period"),
    "start_interval_seconds": ("StartInterval", "start_interval"),
}
_COMPOSE = {"test", "retries", "disable", *(key for _, key in _TIMES.values())}
_UNIT_SECONDS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ms|us|ns|[hms]))+")
_PART = re.compile(rf"({_NUMBER})(ms|us|ns|[hms])")


def from_engine(config: Mapping[str, Any] | None) -> HealthCheck | None:
    """Read an image's or a container's check (Docker Engine API, ``HealthConfig``).

    None where there is none, one without a command where it was switched off.
    """
    if not config or not config.get("Test"):
        return None
    times = {field: (config.get(key) or 0) / NANOSECONDS for field, (key, _) in _TIMES.items()}
    return _made(config["Test"], times, config.get("Retries") or 0)


def to_engine(check: HealthCheck) -> dict[str, Any]:
    """Spell a check for an engine's create call."""
    if not check.command:
        return {"Test": ["NONE"]}
    by_shell = check.command[:2] == SHELL and len(check.command) == len(SHELL) + 1
    config: dict[str, Any] = {
        key: round(getattr(check, field) * NANOSECONDS) for field, (key, _) in _TIMES.items()
    }
    if check.start_interval_seconds == HealthCheck().start_interval_seconds:
        del config["StartInterval"]  # older engines do not know it
    test = ["CMD-SHELL", check.command[-1]] if by_shell else ["CMD", *check.command]
    return {"Test": test, "Retries": check.retries, **config}


def from_compose(entry: Mapping[str, Any]) -> HealthCheck:
    """Read the ``healthcheck`` of a compose file; see HealthCheck.from_compose."""
    if unknown := sorted(set(entry) - _COMPOSE):
        known = ", ".join(sorted(_COMPOSE))
        raise ValueError(f"healthcheck has no {unknown[0]!r}; it takes {known}")
    times = {
        field: _seconds(key, entry[key])
        for field, (_, key) in _TIMES.items()
        if entry.get(key) is not None
    }
    retries, disable = entry.get("retries", 0), entry.get("disable", False)
    if isinstance(retries, bool) or not str(retries).isdecimal():
        raise ValueError(f"healthcheck.retries wants a count, not {retries!r}")
    if not isinstance(disable, bool):
        raise ValueError(f"healthcheck.disable wants true or false, not {disable!r}")
    test = ("NONE",) if disable else _test(entry.get("test"))
    return _made(test, times, int(retries))


def _test(test: object) -> Sequence[str]:
    """A compose file's test as an engine spells it."""
    if isinstance(test, str) and test:
        return ["CMD-SHELL", test]
    words = list(test) if isinstance(test, list | tuple) else []
    if not all(isinstance(word, str) for word in words):
        words = []
    match words:
        case ["NONE"] | ["CMD-SHELL", _] | ["CMD", _, *_]:
            return words
    raise ValueError(
        "healthcheck.test wants a shell command, or a list that begins with CMD, CMD-SHELL or NONE"
    )


def _seconds(key: str, value: object) -> float:
    """A duration of a compose file (compose-spec, "Specifying durations")."""
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        reason = f"healthcheck.{key} wants a duration such as 30s or 1m30s, not {value!r}"
        raise ValueError(reason)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(value))


def _made(test: Sequence[str], times: Mapping[str, float], retries: int) -> HealthCheck:
    """Fill the engines' defaults in; 0 stands for them too."""
    kind, *rest = test
    if kind == "NONE":
        return HealthCheck()
    said = {field: seconds for field, seconds in times.items() if seconds}
    usual = {"interval_seconds": ENGINES_SECONDS, "timeout_seconds": ENGINES_SECONDS}
    return HealthCheck.model_validate(
        {
            "command": (*SHELL, *rest) if kind == "CMD-SHELL" else tuple(rest),
            "retries": retries or ENGINES_RETRIES,
            **usual,
            **said,
        }
    )
