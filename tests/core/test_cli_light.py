"""Light commands import neither Keras nor an engine, `--help` is quick, and completion knows every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genloom.cli.commands import COMMANDS
from genloom.runs import create_run

pytestmark = pytest.mark.any_engine

Genloom = Callable[..., subprocess.CompletedProcess[str]]

HEAVY = ("keras", "jax", "torch", "tensorflow")
# Runs the command, then says which of these modules it imported.
PROBE = f"""
import sys
from genloom.cli.main import main
try:
    main()
finally:
    print("HEAVY", sorted({{*{HEAVY!r}, *WATCHED}} & sys.modules.keys()), file=sys.stderr)
"""

LIGHT = [
    ["--help"],
    ["--version"],
    ["list"],
    ["list", "models", "--json"],
    ["show", "digits"],
    ["plugins", "list"],
    ["plugins", "show", "genloom"],
    ["runs", "."],
    ["completion", "zsh"],
    ["doctor", "--no-devices"],
    ["data", "check", "toy:8-ring"],
    ["compare", "no-run"],
    ["report", "no-run"],
    ["evaluate", "no-run"],
    ["sample", "no-run"],
    *([name, "--help"] for name in COMMANDS),
]


@pytest.fixture
def genloom(cold_genloom: Genloom) -> Genloom:
    """These tests ask what was imported, and how quickly."""
    return cold_genloom


def imported(done: subprocess.CompletedProcess[str]) -> str:
    return next(line for line in done.stderr.splitlines() if line.startswith("HEAVY")).removeprefix("HEAVY ")


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_light_commands_import_neither_keras_nor_an_engine(words: list[str], genloom: Genloom) -> None:
    done = genloom(*words, code=PROBE.replace("WATCHED", "[]"))
    assert "Traceback" not in done.stderr
    assert imported(done) == "[]"


@pytest.mark.parametrize("words", [["--help"], ["list", "--help"], ["train", "--help"]], ids=" ".join)
def test_help_imports_no_numpy_nor_rich(words: list[str], genloom: Genloom) -> None:
    done = genloom(*words, code=PROBE.replace("WATCHED", "['numpy', 'scipy', 'rich', 'matplotlib']"))
    assert done.returncode == 0
    assert imported(done) == "[]"


def test_a_report_is_written_without_keras(genloom: Genloom, tmp_path: Path) -> None:
    run = create_run(tmp_path / "r")
    run.write_config({"model": {"id": "vae/conv"}, "data": {"address": "digits"}, "training": {"steps": 1}})
    assert imported(genloom("runs", str(tmp_path), "--json", code=PROBE.replace("WATCHED", "[]"))) == "[]"


PLUGIN = """
import dataclasses
import genloom

@dataclasses.dataclass(frozen=True)
class Options:
    level: float = genloom.option(0.5, "a level")

@genloom.hookimpl
def genloom_components():
    return [genloom.Component("metric", "p{i}/m", "absent:m", "A metric.", options=Options)]

@genloom.hookimpl
def genloom_commands():
    return {{"command{i}": ("absent:c", "A command.")}}
"""


# Runs the code, then says how many functions were called for it: what a start costs, whatever else the machine does.
COUNTED = """
import sys
calls = 0
def count(frame, event, argument):
    global calls
    calls += event in ("call", "c_call")
sys.setprofile(count)
try:
    exec(CODE)
finally:
    sys.setprofile(None)
    print("CALLS", calls, file=sys.stderr)
"""
COMMAND = "from genloom.cli.main import main; main()"
# What nothing that parses commands and loads plugins can do without.
LIBRARIES = "import click, pluggy, importlib.metadata"


@pytest.mark.parametrize(("words", "shown"), [("--help", "command9"), ("list", "p9/m")])
def test_start_up_is_quick_with_ten_more_plugins(
    words: str, shown: str, genloom: Genloom, install: Callable[..., Path], tmp_path: Path
) -> None:
    """In calls, not in seconds, which other processes stretch: to import numpy takes 160,000, rich 70,000.

    With ten more plugins a start is .18 s for `--help` and .27 s for `list` on an idle machine.
    """
    bytecode = {"PYTHONDONTWRITEBYTECODE": None, "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode")}

    def calls(code: str, *words: str) -> int:
        def run() -> subprocess.CompletedProcess[str]:
            return genloom(*words, code=COUNTED.replace("CODE", repr(code)), **bytecode)

        run()  # compiles the bytecode
        done = run()
        assert done.returncode == 0, done.stderr
        assert not words or not installed or shown in done.stdout
        return int(done.stderr.split("CALLS ")[1])

    installed = 0
    alone = calls(COMMAND, words)
    for installed in range(1, 11):
        install(f"plugin-{installed}", PLUGIN.format(i=installed - 1), entry_point=f"p{installed - 1}")
    together = calls(COMMAND, words)
    assert alone - calls(LIBRARIES) < 110_000
    assert together - alone < 10 * 2_500


def test_completion_offers_commands_flags_and_choices(genloom: Genloom) -> None:
    def offered(words: str) -> set[str]:
        done = genloom(_GENLOOM_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1))
        assert done.stderr == ""
        return {line.partition(",")[2] for line in done.stdout.splitlines()}

    assert set(COMMANDS) <= offered("genloom ")
    assert offered("genloom tr") == {"train"}
    assert {"--data", "--preset", "--backend"} <= offered("genloom train --")
    assert offered("genloom list m") == {"models", "metrics", "modalities"}
    assert offered("genloom plugins ") == {"list", "show", "check", "freeze", "sync", "new"}


def test_completion_offers_values_and_imports_no_keras(genloom: Genloom, tmp_path: Path) -> None:
    for name in ("vae", "gan"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.toml").touch()

    def offered(words: str) -> set[str]:
        place = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        done = genloom(code=PROBE.replace("WATCHED", "[]"), _GENLOOM_COMPLETE="bash_complete", **place)
        assert done.stderr.strip() == "HEAVY []"
        return {line.partition(",")[2] for line in done.stdout.splitlines()}

    assert {"vae/mlp", "vae/conv"} <= offered("genloom train vae")
    assert offered("genloom train vae/mlp --preset s") == {"small"}
    assert os.environ["KERAS_BACKEND"] in offered("genloom train --backend ")
    assert offered("genloom evaluate --metric fd") == {"fd-pca20", "fd-classifier32"}
    assert offered("genloom train --data di") == {"digits"}
    assert offered("genloom sample ru") == {"runs/"}
    assert offered("genloom runs ") >= {"list", "prune", "runs/"}
    assert offered("genloom runs runs/") == offered("genloom runs prune runs/") == {"runs/vae", "runs/gan"}
    assert offered("genloom runs --j") == {"--json"}
    assert offered("genloom compare runs/vae runs/") == {"runs/vae", "runs/gan"}
    assert offered("genloom show c") >= {"clip", "coverage"}
    assert "genloom" in offered("genloom plugins show g")


def test_a_bare_command_prints_its_help_and_is_no_error(genloom: Genloom) -> None:
    for words, first in (((), "Usage: genloom [OPTIONS]"), (("plugins",), "Usage: genloom plugins"), (("data",), "")):
        done = genloom(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(first) and "Commands:" in done.stdout


def test_completion_imports_no_engine_and_is_silent_about_broken_plugins(
    genloom: Genloom, install: Callable[..., Path]
) -> None:
    install("genloom-bad", "raise ValueError", entry_point="bad")
    done = genloom(
        code=PROBE.replace("WATCHED", "[]"),
        _GENLOOM_COMPLETE="bash_complete",
        COMP_WORDS="genloom train --",
        COMP_CWORD="2",
    )
    assert done.stderr.strip() == "HEAVY []"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_genloom(shell: str, genloom: Genloom) -> None:
    assert f"_GENLOOM_COMPLETE={shell}_complete" in genloom("completion", shell).stdout


def test_importing_genloom_imports_nothing_heavy() -> None:
    code = (
        "import sys, genloom; print(sorted({'keras', 'numpy', 'click', 'pluggy', 'jax', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_listed_component_can_be_shown(genloom: Genloom) -> None:
    code = (
        "import json, sys\n"
        "from genloom.cli.main import cli\n"
        "from genloom.plugins.registry import components\n"
        "for c in components():\n"
        "    cli.main(['show', c.id, '--json'], standalone_mode=False)\n"
        "    print('---')\n"
    )
    done = genloom(code=code)
    assert done.returncode == 0, done.stderr
    shown = [json.loads(text) for text in done.stdout.split("---\n") if text.strip()]
    assert {"digits", "clip"} <= {each.get("id") for each in shown}
    assert all("options" in each or "components" in each for each in shown)
