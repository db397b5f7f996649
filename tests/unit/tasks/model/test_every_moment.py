"""One thing goes wrong at one moment of a move, at each in turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from tasks.models import Fallback, Kind, Options, Unit
from tests.unit.tasks.model.actors import Actor
from tests.unit.tasks.model.checks import heals, holds
from tests.unit.tasks.model.world import Model, patched

BACK, COLD, ELSEWHERE = Fallback.RESUME, Fallback.COLD, Fallback.ELSEWHERE
Wrong = Callable[[Model, Actor], None]


def oversleeps(model: Model, actor: Actor) -> None:
    """It wakes up when all others have done without it."""
    actor.asleep = not actor.asked
    model.go_on()
    holds(model)
    actor.asleep = False
    while not actor.over:
        model.advance(actor)
        holds(model)


def dies(model: Model, actor: Actor) -> None:
    model.actors.remove(actor)
    actor.kill()


def is_cancelled(model: Model, _: Actor) -> None:
    model.cancel()


def loses_its_host(model: Model, actor: Actor) -> None:
    if actor.host:
        model.lose_host(actor.host)
        model.go_on()
        holds(model)


def moment(model: Model, number: int) -> Actor | None:
    """Who is about to do what is done at this moment, counted since the checkpoint was sent."""
    seen = 0
    while not model.last.ended:
        model.deliver_all()
        for actor in model.awake():
            if model.last.done(Unit.PULL_IMAGE):
                if seen == number:
                    return actor
                seen += 1
            model.advance(actor)
            holds(model)
    return None


@pytest.mark.parametrize("wrong", [oversleeps, dies, is_cancelled, loses_its_host])
@pytest.mark.parametrize(
    ("ladder", "cold"),
    [((BACK,), False), ((ELSEWHERE, BACK), False), ((COLD, BACK), False), ((BACK,), True)],
)
def test_whatever_goes_wrong_at_whatever_moment(
    ladder: tuple[Fallback, ...], cold: bool, wrong: Wrong, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(fallback=ladder, retries=0, cold=cold, up_attempts=1)
    number, actor = 0, None
    models: list[Model] = []
    patched(monkeypatch, lambda: models[-1])
    with capture_logs():
        while number == 0 or actor is not None:
            model = Model()
            models.append(model)
            try:
                model.ask(Kind.MIGRATE, "b", options, 3600)
                actor = moment(model, number)
                if actor is not None:
                    what = f"moment {number}: {actor}"
                    wrong(model, actor)
                    heals(model)
            except AssertionError as error:
                raise AssertionError(f"{what}: {error}") from error
            finally:
                model.close()
            number += 1
    assert number > 30
