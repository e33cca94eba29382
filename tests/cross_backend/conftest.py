"""What the tests across engines share: the small first-party models beside them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def first_party() -> ModuleType:
    """The module `first_party.py`, which is also a script."""
    spec = importlib.util.spec_from_file_location("first_party", Path(__file__).with_name("first_party.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
