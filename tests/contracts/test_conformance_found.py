"""A kit finds its component in a package that is not installed; one that is nowhere fails one test, and says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genloom.plugins.discovery import plugins
from genloom.testing import MetricConformance, ModelConformance, PostprocessorConformance
from genloom.testing.outcome import failures

HOOKS = """
from genloom import Component, hookimpl

@hookimpl
def genloom_components():
    return [Component("postprocessor", "lent/same", "lent_post:same", "Changes nothing.", accepts=("image",))]
"""
SAME = """
def same(samples, spec, options):
    return samples, spec
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that can be imported and is not installed."""
    (tmp_path / "lent_hooks.py").write_text(HOOKS)
    (tmp_path / "lent_post.py").write_text(SAME)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("lent_hooks", "lent_post"):
        sys.modules.pop(name, None)


def outcome(kit: type, **attributes: Any) -> dict[str, str]:
    return failures(type("Kit", (kit,), attributes))


def test_a_package_that_is_not_installed_is_tested_by_its_hooks(package: Path) -> None:
    for _ in range(2):
        assert outcome(PostprocessorConformance, id="lent/same", hooks="lent_hooks") == {}
    assert [status.name for status in plugins()].count("lent_hooks") == 1


ABSENT = {
    "model": (ModelConformance, {"id": "nobody/flow"}, "There is no model 'nobody/flow'."),
    "metric": (MetricConformance, {"id": "nobody/score"}, "There is no metric 'nobody/score'."),
    "module": (
        PostprocessorConformance,
        {"id": "nobody/round", "hooks": "nobody_hooks"},
        "The module 'nobody_hooks' cannot be imported.",
    ),
    "submodule": (
        PostprocessorConformance,
        {"id": "nobody/round", "hooks": "nobody.hooks"},
        "The module 'nobody.hooks' cannot be imported.",
    ),
}


@pytest.mark.parametrize(("kit", "attributes", "words"), ABSENT.values(), ids=ABSENT)
def test_what_is_nowhere_fails_once_and_says_how_to_install_it(kit: type, attributes: Any, words: str) -> None:
    failed = outcome(kit, **attributes)
    assert set(failed) == {"test_the_component_is_found"}
    (message,) = failed.values()
    assert message.startswith(f"Promise broken: {words}")
    assert "Install the package that is tested: pip install -e ." in message


def test_hooks_that_raise_fail_with_their_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn_hooks.py").write_text("torn = 1\nraise RuntimeError('torn')\n")
    monkeypatch.syspath_prepend(tmp_path)
    failed = outcome(PostprocessorConformance, id="torn/same", hooks="torn_hooks")
    assert set(failed) == {"test_the_component_is_found", "test_hooks_import_no_engine"}
    assert f"RuntimeError: torn ({tmp_path / 'torn_hooks.py'}, line 2)" in failed["test_the_component_is_found"]
