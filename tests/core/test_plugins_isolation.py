"""A broken plugin is reported on one line and the rest works; each defect is made with a real distribution."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Genloom = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[..., Path]

GOOD = """
import genloom
from genloom import Component

@genloom.hookimpl
def genloom_components():
    return [Component("dataset", "good/rows", "good_targets:open_rows", "Rows.")]
"""

DEFECTS = {
    "import": ("import no_such_module", "failed", "ModuleNotFoundError: No module named 'no_such_module'"),
    "raises": ("raise ValueError('line one\\nline two')", "failed", "ValueError: line one line two"),
    "exits": ("raise SystemExit(7)", "failed", "it exits (7) at load time"),
    "keras": (
        "import sys, types; sys.modules['keras'] = types.ModuleType('keras')",
        "failed",
        "it imports keras at load",
    ),
    "keras in a hook": (
        "import genloom\n@genloom.hookimpl\ndef genloom_components():\n"
        "    import sys, types; sys.modules['keras'] = types.ModuleType('keras'); return []",
        "failed",
        "it imports keras at load",
    ),
    "api": ("GENLOOM_API = 2", "incompatible", "it was made for plugin API 2, this GenLoom has 1"),
    "hook raises": (
        "import genloom\n@genloom.hookimpl\ndef genloom_components(): raise RuntimeError('no list')",
        "failed",
        "RuntimeError: no list",
    ),
    "no component": (
        "import genloom\n@genloom.hookimpl\ndef genloom_components(): return ['vae']",
        "failed",
        "genloom_components returned 'vae', which is no Component",
    ),
    "wrong argument": (
        "import genloom\n@genloom.hookimpl\ndef genloom_callbacks(runs): return []",
        "failed",
        "genloom_callbacks",
    ),
    "misspelled": (
        "import genloom\n@genloom.hookimpl\ndef genloom_component(): return []",
        "ok",
        "there is no hook 'genloom_component'. Did you mean 'genloom_components'?",
    ),
    "unmarked": ("def genloom_components(): return []", "ok", "genloom_components lacks @genloom.hookimpl"),
}


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return {plugin["name"]: plugin for plugin in json.loads(done.stdout)["plugins"]}


@pytest.mark.parametrize(("source", "status", "cause"), DEFECTS.values(), ids=DEFECTS)
def test_each_defect_is_one_line_and_the_rest_works(
    source: str, status: str, cause: str, genloom: Genloom, install: Install
) -> None:
    install("genloom-bad", source, entry_point="bad", version="0.7")
    install("genloom-good", GOOD, entry_point="good")
    done = genloom("plugins", "list", "--json")
    plugins = listed(done)
    assert plugins["bad"]["status"] == status
    assert cause in plugins["bad"]["cause"]
    assert plugins["good"]["components"] == ["good/rows"]
    lines = [line for line in done.stderr.splitlines() if "genloom-bad" in line]
    assert len(lines) == 1, done.stderr
    for part in (
        "'bad'",
        "genloom-bad 0.7",
        cause,
        "GENLOOM_DISABLE_PLUGINS=genloom-bad",
        "genloom uninstall genloom-bad",
    ):
        assert part in lines[0]


def test_strict_mode_makes_any_defect_exit_3(genloom: Genloom, install: Install) -> None:
    install("genloom-bad", "def genloom_components(): return []", entry_point="bad")
    done = genloom("list", "--json", GENLOOM_STRICT_PLUGINS="1")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["type"] == "PluginError"
    assert genloom("list", GENLOOM_STRICT_PLUGINS="0").returncode == 0


@pytest.mark.parametrize("name", ["bad", "genloom-bad"])
def test_a_disabled_plugin_is_not_imported(name: str, genloom: Genloom, install: Install) -> None:
    install("genloom-bad", "print('imported'); raise ValueError", entry_point="bad")
    done = genloom("plugins", "list", "--json", GENLOOM_DISABLE_PLUGINS=f"other, {name}")
    assert listed(done)["bad"]["status"] == "disabled"
    assert done.stderr == ""


def test_no_plugins_at_all(genloom: Genloom, install: Install) -> None:
    install("genloom-good", GOOD, entry_point="good")
    assert list(listed(genloom("plugins", "list", "--json", GENLOOM_NO_PLUGINS="1"))) == ["genloom"]


def test_what_a_plugin_prints_while_loading_stays_out_of_the_data(genloom: Genloom, install: Install) -> None:
    install("genloom-loud", "print('hello')", entry_point="loud")
    done = genloom("plugins", "list", "--json")
    assert listed(done)["loud"]["status"] == "ok"
    assert "hello" in done.stderr


def test_two_distributions_with_one_entry_point_name(genloom: Genloom, install: Install) -> None:
    install("first-plugin", GOOD, entry_point="same")
    install("second-plugin", GOOD.replace("good/rows", "second/rows"), entry_point="same")
    done = genloom("plugins", "list", "--json")
    found = {p["distribution"]: p for p in json.loads(done.stdout)["plugins"] if p["name"] == "same"}
    assert sorted(p["status"] for p in found.values()) == ["failed", "ok"]
    assert "the entry point name 'same' is taken by" in done.stderr
    loser = next(name for name, plugin in found.items() if plugin["status"] == "failed")
    assert f"GENLOOM_DISABLE_PLUGINS={loser}" in done.stderr


def test_a_clash_is_an_error_only_for_the_id_that_clashes(genloom: Genloom, install: Install) -> None:
    more = GOOD.replace('"Rows.")]', '"Rows."), Component("metric", "mine/m", "a:b", "M.")]')
    install("first-plugin", more, entry_point="first")
    install("second-plugin", GOOD, entry_point="second")
    done = genloom("show", "good/rows")
    assert done.returncode == 3
    assert "'good/rows' is claimed by" in done.stderr
    assert "first-plugin" in done.stderr and "second-plugin" in done.stderr
    assert genloom("show", "rows").returncode == 3
    assert genloom("show", "mine/m").returncode == 0
    assert "is claimed by" in genloom("list").stderr


def test_short_names_work_while_unique(genloom: Genloom, install: Install) -> None:
    install("first-plugin", GOOD, entry_point="first")
    assert json.loads(genloom("show", "rows", "--json").stdout)["id"] == "good/rows"
    install("second-plugin", GOOD.replace("good/rows", "other/rows"), entry_point="second")
    done = genloom("show", "rows")
    assert done.returncode == 2
    assert "good/rows, other/rows" in done.stderr


def test_an_absent_id_names_the_nearest_and_broken_plugins(genloom: Genloom, install: Install) -> None:
    install("genloom-good", GOOD, entry_point="good")
    done = genloom("show", "good/rosw")
    assert done.returncode == 4
    assert "Did you mean 'good/rows'?" in done.stderr
    install("genloom-bad", "raise ValueError", entry_point="bad")
    done = genloom("data", "check", "digitz")
    assert done.returncode == 4
    assert "Did you mean 'digits'?" in done.stderr
    assert "bad (see: genloom plugins list)" in done.stderr
