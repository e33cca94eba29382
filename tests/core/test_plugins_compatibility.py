"""An old plugin works under today's hooks, and goes on working when a hook gains an argument."""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from typing import Any

import pluggy
import pytest

from genloom import hookspecs
from genloom.plugins.offers import SampleRequest

pytestmark = pytest.mark.any_engine

HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("genloom_")}


def grown() -> types.SimpleNamespace:
    """Today's hooks, each with one argument more."""

    def more(name: str, hook: Any) -> Any:
        arguments = [*inspect.signature(hook).parameters, "added"]
        made = types.FunctionType(hook.__code__, {}, name)
        made.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD) for each in arguments]
        )
        options = hook.genloom_spec
        return hookspecs.hookspec(firstresult=options["firstresult"])(made)

    return types.SimpleNamespace(**{name: more(name, hook) for name, hook in HOOKS.items()})


@pytest.fixture
def plugin() -> types.ModuleType:
    """The frozen plugin, imported anew."""
    module = types.ModuleType("frozen_plugin")
    exec(Path(__file__).with_name("frozen_plugin.py").read_text(), vars(module))  # noqa: S102  a file of ours
    return module


def manager(specs: Any, plugin: types.ModuleType) -> pluggy.PluginManager:
    made = pluggy.PluginManager(hookspecs.GROUP)
    made.add_hookspecs(specs)
    made.register(plugin, name="frozen")
    made.check_pending()
    return made


@pytest.mark.parametrize("specs", [hookspecs, grown()], ids=["today's hooks", "an argument more"])
def test_a_plugin_of_version_1_works_as_it_did(specs: Any, plugin: types.ModuleType) -> None:
    hook = manager(specs, plugin).hook
    more = {} if specs is hookspecs else {"added": "new"}
    assert [component.id for found in hook.genloom_components(**more) for component in found] == ["frozen/zero"]
    assert list(hook.genloom_commands(**more)[0]) == ["frozen"]
    assert hook.genloom_callbacks(run="RUN", **more) == [[]]
    hook.genloom_checkpoint_saved(run="RUN", path="PATH", **more)
    assert hook.genloom_report_sections(run="RUN", **more) == [[("Frozen", "<p>RUN</p>")]]
    assert hook.genloom_doctor(**more) == [[("ice", True, "cold")]]
    request = SampleRequest(3, 0, None, {}, lambda: None)
    assert hook.genloom_sample(run="RUN", request=request, **more) is None
    assert plugin.CALLS == [("callbacks", "RUN"), ("saved", "PATH"), ("sample", 3)]


def test_the_frozen_plugin_knows_every_hook_of_its_version(plugin: types.ModuleType) -> None:
    """A new hook is added here to the set, never to the plugin."""
    later: set[str] = set()
    assert {name for name in vars(plugin) if name.startswith("genloom_")} == set(HOOKS) - later


def test_taking_an_argument_away_breaks_it(plugin: types.ModuleType) -> None:
    poorer = grown()
    del poorer.genloom_checkpoint_saved

    @hookspecs.hookspec
    def genloom_checkpoint_saved(run: Any) -> None:
        """No path any more."""

    poorer.genloom_checkpoint_saved = genloom_checkpoint_saved
    with pytest.raises(pluggy.PluginValidationError, match=r"Argument\(s\) \{'path'\}"):
        manager(poorer, plugin)
