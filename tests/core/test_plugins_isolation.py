"""A broken plugin is reported on one line and the rest works; each defect is made with a real distribution."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genloom import hookspecs

pytestmark = pytest.mark.any_engine

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


MODEL = """
import genloom
from genloom import Component

@genloom.hookimpl
def genloom_components():
    return [Component("model", "tiny/point", "tiny_model:Point", "One point.")]
"""

POINT = """
from keras import ops
import genloom

class Point(genloom.GenerativeModel):
    def __init__(self, spec, options=None, **values):
        super().__init__(spec, options, **values)
        self.p = self.add_weight(shape=(spec.size,), initializer="zeros", name="p")

    def phases(self):
        return [genloom.Phase("fit", lambda: [self.p], self.error)]

    def error(self, batch):
        return ops.mean(ops.square(ops.reshape(batch["x"], (-1, self.spec.size)) - self.p)), {}, 1.0

    def draw(self, keys, condition):
        return ops.zeros((keys.shape[0], *self.spec.shape)) + ops.reshape(self.p, self.spec.shape)
"""

IN_TRAINING = {
    "callbacks": ("genloom_callbacks(run): raise ValueError('no callbacks')", "genloom_callbacks raised ValueError"),
    "checkpoint": ("genloom_checkpoint_saved(run, path): raise SystemExit(5)", "raised SystemExit: 5"),
}


@pytest.mark.parametrize(("hook", "cause"), IN_TRAINING.values(), ids=IN_TRAINING)
def test_a_hook_that_raises_in_training_is_one_line_and_the_run_is_whole(
    hook: str, cause: str, genloom: Genloom, install: Install, site: Path, tmp_path: Path
) -> None:
    install("genloom-tiny", MODEL, entry_point="tiny")
    (site / "tiny_model.py").write_text(POINT)
    install("genloom-bad", f"import genloom\n@genloom.hookimpl\ndef {hook}", entry_point="bad")
    done = genloom("train", "tiny/point", "--data", "toy:8-ring", "--steps", "2", "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "genloom-bad" in line]
    assert len(lines) == 1 and cause in lines[0], done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "run" / "checkpoints").iterdir())


def test_an_absent_target_matters_only_to_who_asks_for_it(genloom: Genloom, install: Install, tmp_path: Path) -> None:
    install("genloom-tiny", MODEL, entry_point="tiny")  # tiny_model is not there
    assert genloom("list").returncode == 0
    done = genloom("train", "tiny/point", "--data", "toy:8-ring", "--steps", "1", "--out", str(tmp_path / "run"))
    assert done.returncode == 3
    assert "'tiny/point' cannot be loaded from 'tiny_model:Point'" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("Error")]) == 1
    assert "Traceback" not in done.stderr
    checked = genloom("plugins", "check", "tiny", "--json")
    assert checked.returncode == 3
    assert "No module named 'tiny_model'" in json.loads(checked.stdout)["plugins"][0]["defects"][0]


LYING = """
def halved(samples, spec, options):
    return samples[:, ::2], spec
"""


def test_a_component_that_lies_about_its_spec_is_named(
    genloom: Genloom, install: Install, site: Path, tmp_path: Path
) -> None:
    install("genloom-tiny", MODEL, entry_point="tiny")
    (site / "tiny_model.py").write_text(POINT)
    lying = MODEL.replace("model", "postprocessor", 1).replace("tiny/point", "liar/half").replace(
        "tiny_model:Point", "liar_targets:halved"
    )  # fmt: skip
    install("genloom-liar", lying, entry_point="liar")
    (site / "liar_targets.py").write_text(LYING)
    run = str(tmp_path / "run")
    assert genloom("train", "tiny/point", "--data", "toy:8-ring", "--steps", "1", "--out", run).returncode == 0
    done = genloom("sample", run, "-n", "4", "--post", "liar/half", "--out", str(tmp_path / "s.npz"))
    assert done.returncode == 3, done.stderr
    assert "'liar/half' returned samples of shape" in done.stderr
    assert not (tmp_path / "s.npz").exists()


SECTIONS = """
import genloom
from genloom.report import Section

@genloom.hookimpl
def genloom_report_sections(run):
    return [("By name", f"<p>{run.path.name}</p>"), Section("By class", text="plain")]
"""


@pytest.mark.parametrize(
    ("body", "cause"),
    [("raise ValueError('no page')", "raised ValueError: no page"), ("return [3]", "3 is neither a Section nor")],
    ids=["raises", "nonsense"],
)
def test_sections_of_plugins_are_in_the_report_and_a_broken_one_is_left_out(
    body: str, cause: str, genloom: Genloom, install: Install, tmp_path: Path
) -> None:
    install("genloom-good", SECTIONS, entry_point="good")
    broken = f"import genloom\n@genloom.hookimpl\ndef genloom_report_sections(run): {body}"
    install("genloom-bad", broken, entry_point="bad")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.toml").write_text('[model]\nid = "tiny/point"\n')
    done = genloom("report", "run")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<h2>By name</h2>" in page and "<p>run</p>" in page and "<h2>By class</h2>" in page
    assert done.stderr.count("\n") == 1 and cause in done.stderr and "genloom-bad" in done.stderr


def test_every_hook_is_called_by_the_core(repository: Path) -> None:
    source = repository / "core" / "src" / "genloom"
    text = "".join(path.read_text("utf-8") for path in source.rglob("*.py") if path.name != "hookspecs.py")
    hooks = [name for name in vars(hookspecs) if name.startswith("genloom_")]
    called = {
        name
        for name in hooks
        if f'notify("{name}"' in text or f"hook.{name}(" in text or f'getattr(module, "{name}"' in text
    }
    assert sorted(set(hooks) - called) == []


def _line_of(source: str, words: str) -> int:
    return next(number for number, line in enumerate(source.splitlines(), 1) if words in line)


FAULTS = {
    "class body": (
        "    def phases",
        "    width = undefined\n\n    def phases",
        "NameError: name 'undefined' is not defined",
    ),
    "constructor": ("self.p = ", "self.q = self.missing; self.p = ", "AttributeError: 'Point' object has no attribute"),
    "loss": ('batch["x"]', 'batch["y"]', "KeyError: 'y'"),
}


@pytest.mark.parametrize(("good", "bad", "cause"), FAULTS.values(), ids=FAULTS)
def test_an_error_in_a_models_own_code_names_its_line(
    good: str, bad: str, cause: str, genloom: Genloom, install: Install, site: Path, tmp_path: Path
) -> None:
    source = POINT.replace(good, bad)
    install("genloom-tiny", MODEL, entry_point="tiny")
    (site / "tiny_model.py").write_text(source)
    done = genloom("train", "tiny/point", "--data", "toy:8-ring", "--steps", "1", "--out", str(tmp_path / "run"))
    assert done.returncode == 3, done.stderr
    assert cause in done.stderr
    assert f"({site / 'tiny_model.py'}, line {_line_of(source, bad.splitlines()[0])})" in done.stderr
    assert "tiny/point" in done.stderr or "Plugin 'tiny' (genloom-tiny 1.2)" in done.stderr


def test_an_error_in_a_file_names_its_line(genloom: Genloom, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("class Mine:\n    good = 1\n    bad = undefined\n")
    done = genloom("-p", str(file), "list")
    assert done.returncode == 3
    assert f"NameError: name 'undefined' is not defined ({file}, line 3). Leave out -p" in done.stderr


def test_a_check_finds_a_model_that_cannot_draw(genloom: Genloom, install: Install, site: Path) -> None:
    install("genloom-tiny", MODEL, entry_point="tiny")
    (site / "tiny_model.py").write_text(POINT.replace("def draw", "def drawn"))
    checked = genloom("plugins", "check", "tiny", "--json")
    assert checked.returncode == 3
    assert "tiny/point: Point has no draw()." in json.loads(checked.stdout)["plugins"][0]["defects"][0]


def test_a_file_given_with_p_is_checked_by_its_name(genloom: Genloom, tmp_path: Path) -> None:
    (tmp_path / "bits.py").write_text(GOOD.replace("good", "bits").replace("bits_targets", "bits"))
    checked = genloom("-p", "bits.py", "plugins", "check", "bits", "--json")
    (found,) = json.loads(checked.stdout)["plugins"]
    assert (checked.returncode, found["status"], found["components"]) == (3, "failed", ["bits/rows"])
    assert found["defects"][0].startswith("Component 'bits/rows' cannot be loaded from 'bits:open_rows'")
    assert genloom("plugins", "check", "bits").returncode == 4
