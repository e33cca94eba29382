"""What the tests across engines share: the small first-party models beside them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _first_party() -> ModuleType:
    spec = importlib.util.spec_from_file_location("first_party", Path(__file__).with_name("first_party.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def first_party() -> ModuleType:
    """The module `first_party.py`, which is also a script."""
    return _first_party()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what takes a `model_id` for every first-party model, and what takes a `picture_id` for those of pictures."""
    for name in {"model_id", "picture_id"} & set(metafunc.fixturenames):
        module = _first_party()
        metafunc.parametrize(name, module.model_ids() if name == "model_id" else module.picture_ids())
