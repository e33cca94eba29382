"""An error that went through the code of several plugins is laid on the one that raised it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from genloom.plugins.discovery import culprit, load_file, whose

pytestmark = pytest.mark.any_engine

OUTER = """
import genloom
from genloom.plugins.registry import find


def asks(*values):
    return find("postprocessor", "inner/raises").load()(*values)


def fails(*values):
    find("postprocessor", "inner/gives").load()()
    raise KeyError("outer")


@genloom.hookimpl
def genloom_components():
    return [
        genloom.Component("postprocessor", "outer/asks", "blame_outer:asks", "Asks another plugin."),
        genloom.Component("postprocessor", "outer/borrows", "blame_inner:raises", "What another plugin has."),
    ]
"""

INNER = """
import genloom


def raises(*values):
    raise SyntaxError("inner", ("text", 1, 1, "", 1, 1)) if values else KeyError("inner")


def gives():
    return 0


@genloom.hookimpl
def genloom_components():
    return [
        genloom.Component("postprocessor", "inner/raises", "blame_inner:raises", "Raises."),
        genloom.Component("postprocessor", "inner/gives", "blame_inner:gives", "Gives."),
    ]
"""


@pytest.fixture(scope="module", autouse=True)
def plugins(tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, source in (("blame_outer", OUTER), ("blame_inner", INNER)):
        if name not in sys.modules:
            file = tmp_path_factory.mktemp(name) / f"{name}.py"
            file.write_text(source)
            load_file(file)


@pytest.mark.parametrize(
    ("function", "values", "name"),
    [("asks", (), "blame_inner"), ("asks", (1,), "blame_inner"), ("fails", (), "blame_outer")],
)
def test_the_plugin_whose_code_raised_is_blamed(function: str, values: Any, name: str) -> None:
    with pytest.raises((KeyError, SyntaxError)) as raised:
        getattr(sys.modules["blame_outer"], function)(*values)
    found = culprit(raised.value)
    assert found is not None and found[0].name == name and f"{name}.py, line " in found[1]


def test_a_plugin_that_borrows_code_does_not_own_it() -> None:
    assert whose(sys.modules["blame_inner"].raises).startswith("Plugin 'blame_inner' (")
    assert whose(pytest.fixture) == ""


def test_nobody_is_blamed_for_what_no_plugin_ran() -> None:
    assert culprit(SyntaxError("mine", ("text", 1, 1, "", 1, 1))) is None
