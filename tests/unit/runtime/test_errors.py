from __future__ import annotations

import inspect
import pickle

import pytest

from runtime import errors

CLASSES = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, errors.RuntimeEngineError) and member is not errors.RuntimeEngineError
]


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_survives_pickling(error: type[errors.RuntimeEngineError]) -> None:
    parameters = list(inspect.signature(error).parameters)
    made = error(*(("last", "lines") if name == "tail" else name for name in parameters))

    copy = pickle.loads(pickle.dumps(made))  # noqa: S301 - our own bytes

    assert type(copy) is error
    assert str(copy) == str(made)
    assert [getattr(copy, name) for name in parameters] == list(made.args)


def test_there_are_errors_to_test() -> None:
    assert len(CLASSES) == 24
