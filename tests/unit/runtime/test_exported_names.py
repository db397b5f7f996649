from __future__ import annotations

import inspect

import pytest

import runtime
from runtime import errors, specs


def test_every_exported_name_is_there_once() -> None:
    assert all(hasattr(runtime, name) for name in runtime.__all__)
    assert len(set(runtime.__all__)) == len(runtime.__all__)


@pytest.mark.parametrize(
    ("module", "root"), [(errors, errors.RuntimeEngineError), (specs, specs.Spec)]
)
def test_every_error_and_every_record_is_exported(module: object, root: type) -> None:
    own = {
        name for name, member in inspect.getmembers(module, inspect.isclass) if member is not root
    }
    defined = {name for name in own if issubclass(getattr(module, name), root)}

    assert defined <= set(runtime.__all__)
