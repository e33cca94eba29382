"""Hooks called one plugin at a time, wrappers around sampling, plugins from files and their commands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from genloom.errors import PluginError
from genloom.plugins.entry_points import declared
from genloom.plugins.offers import Component

pytestmark = pytest.mark.any_engine

Genloom = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[..., Path]

OBSERVER = """
import genloom

@genloom.hookimpl
def genloom_checkpoint_saved(run, path):
    {body}
"""

NOTIFY = """
from genloom.plugins.hooks import notify
print([result for _, result in notify("genloom_checkpoint_saved", run="R", path="P")])
"""

WRAPPER = """
import genloom

@genloom.hookimpl(wrapper=True)
def genloom_sample(request):
    samples = yield
    return {body}
"""

SAMPLE = """
from genloom.plugins.offers import SampleRequest
from genloom.plugins import hooks
def draw():
    {body}
try:
    print(hooks.sample("R", SampleRequest(3, 0, None, {{}}, draw)))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_entry_points_are_those_that_importlib_finds() -> None:
    for group in ("genloom", "console_scripts", "pytest11"):
        expected = sorted((e.name, e.value, e.dist.name, e.dist.version) for e in entry_points(group=group) if e.dist)
        assert sorted((e.name, e.value, e.distribution, e.version) for e in declared(group)) == expected
        assert group == "genloom" or expected


def test_a_distribution_that_lies_on_the_path_twice_counts_once(genloom: Genloom, install: Install, site: Path) -> None:
    install("genloom-twice", "", entry_point="twice")
    old = site / "genloom_twice.egg-info"
    old.mkdir()
    (old / "PKG-INFO").write_text("Name: genloom-twice\nVersion: 1.0\n")
    (old / "entry_points.txt").write_text("[genloom]\ntwice = genloom_twice\n")
    done = genloom("plugins", "show", "twice", "--json")
    assert [plugin["version"] for plugin in json.loads(done.stdout)["plugins"]] == ["1.2"]
    assert done.stderr == ""


def test_one_raising_observer_does_not_stop_the_others(genloom: Genloom, install: Install) -> None:
    install("genloom-a", OBSERVER.format(body="return f'a {run} {path}'"), entry_point="a")
    install("genloom-b", OBSERVER.format(body="raise ValueError('broken b')"), entry_point="b")
    install("genloom-c", OBSERVER.format(body="return 'c'"), entry_point="c")
    install("genloom-d", OBSERVER.format(body="raise SystemExit(1)"), entry_point="d")
    done = genloom(code=NOTIFY)
    assert done.returncode == 0
    assert sorted(eval(done.stdout)) == ["a R P", "c"]  # noqa: S307  its own output
    assert "genloom-b 1.2" in done.stderr and "broken b" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_wrappers_see_and_change_the_samples(genloom: Genloom, install: Install) -> None:
    install("genloom-a", WRAPPER.format(body="[*samples, request.n]"), entry_point="a")
    done = genloom(code=SAMPLE.format(body="return [1, 2]"))
    assert done.stdout.strip() == "[1, 2, 3]"


def test_a_failing_wrapper_fails_the_sample_and_is_named(genloom: Genloom, install: Install) -> None:
    install("genloom-a", WRAPPER.format(body="1 / 0"), entry_point="a")
    done = genloom(code=SAMPLE.format(body="return [1, 2]"))
    assert done.stdout.startswith("PluginError Plugin 'a' (genloom-a 1.2): genloom_sample raised ZeroDivisionError")


def test_a_failure_of_the_model_itself_is_not_blamed_on_a_plugin(genloom: Genloom, install: Install) -> None:
    install("genloom-a", WRAPPER.format(body="samples"), entry_point="a")
    done = genloom(code=SAMPLE.format(body="raise KeyError('mine')"))
    assert done.stdout.strip() == "KeyError 'mine'"


def test_a_file_is_a_plugin(genloom: Genloom, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import genloom\n"
        "from genloom import Component, data\n"
        "@genloom.hookimpl\n"
        "def genloom_components():\n"
        "    return [Component('dataset', 'mine/ones', 'mine:open_ones', 'Ones.')]\n"
        "def open_ones(rest):\n"
        "    import numpy as np\n"
        "    split = data.ArraySplit(np.ones((8, 2)))\n"
        "    spec = data.DataSpec((2,), kind='signal', value_range=(0.0, 2.0))\n"
        "    return data.Dataset('mine/ones', spec, split, split, 'f' * 16)\n"
    )
    done = genloom("-p", str(file), "data", "check", "mine/ones", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["train"]["mean"] == 1.0
    assert genloom("data", "check", "mine/ones").returncode == 4


@pytest.mark.parametrize(("source", "code"), [(None, 4), ("raise ValueError('no')", 3), ("raise SystemExit", 3)])
def test_a_file_that_was_asked_for_must_load(source: str | None, code: int, genloom: Genloom, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    if source is not None:
        file.write_text(source)
    done = genloom("-p", str(file), "list")
    assert done.returncode == code
    assert str(file) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_may_import_keras_on_the_engine_of_the_flag(genloom: Genloom, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import os, sys; print('engine', os.environ.get('KERAS_BACKEND'), file=sys.stderr)")
    done = genloom("-p", str(file), "train", "no/model", "--data", "digits", "--backend", "torch", KERAS_BACKEND="jax")
    assert "engine torch" in done.stderr or "torch, which is not installed" in done.stderr


COMMANDS = """
import genloom

@genloom.hookimpl
def genloom_commands():
    return {"hello": ("hello_command:hello", "Say hello."), "train": ("hello_command:hello", "Not this one.")}
"""


def test_a_plugin_adds_a_command_that_is_imported_only_when_run(genloom: Genloom, install: Install, site: Path) -> None:
    install("genloom-hello", COMMANDS, entry_point="hello")
    (site / "hello_command.py").write_text(
        "import click\nprint('imported')\n"
        "@click.command()\n@click.argument('name')\ndef hello(name):\n    print('hi', name)\n"
    )
    done = genloom("--help")
    assert "Say hello." in done.stdout and "Not this one." not in done.stdout
    assert "imported" not in done.stdout
    assert "its command 'train' exists already" in done.stderr
    assert genloom("hello", "you").stdout.splitlines() == ["imported", "hi you"]
    assert "Did you mean 'hello'?" in genloom("helo").stderr


@pytest.mark.parametrize(
    "fields",
    [{"kind": "models"}, {"id": "Vae/Conv"}, {"id": "a/b/c"}, {"target": "module"}, {"target": ":attr"}],
)
def test_a_malformed_component_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(PluginError):
        Component(**{"kind": "model", "id": "a/b", "target": "m:a", "summary": "", **fields})


def test_a_component_that_cannot_be_loaded_says_from_where() -> None:
    with pytest.raises(PluginError, match=r"'a/b' cannot be loaded from 'json:no_such'"):
        Component("model", "a/b", "json:no_such", "").load()
    assert Component("model", "a/b", "json.decoder:JSONDecoder.decode", "").load().__name__ == "decode"
