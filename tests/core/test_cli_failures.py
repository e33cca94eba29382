"""Every error is one line (or one JSON document) and the exit code that says what kind it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_engine

Genloom = Callable[..., subprocess.CompletedProcess[str]]

CASES = [
    (["trian"], 2, "No such command 'trian'. Did you mean 'train'?"),
    (["list", "--jsno"], 2, "Did you mean '--json'?"),
    (["list", "modles"], 2, "'models'"),
    (["sample", "no-run"], 2, "is not a run"),
    (["sample"], 2, "Missing argument 'RUN'"),
    (["sample", "no-run", "-n", "0"], 2, "1<=x<=100000000"),
    (["train", "vae/conv"], 2, "No data is given"),
    (["train"], 2, "No model is given"),
    (["train", "vae/conv", "--data", "digits", "--steps", "1", "--epochs", "1"], 2, "exclude each other"),
    (["train", "vae/conv", "--data", "digits", "--set", "latent"], 2, "Expected NAME=VALUE"),
    (["train", "vae/conv", "--data", "digits", "--backend", "jaxx"], 2, "Did you mean 'jax'?"),
    (["train", "vae/conv", "--data", "digits", "--config", "no.toml"], 2, "no configuration file 'no.toml'."),
    (["sequence", "no.toml", "--out", "s"], 2, "There is no sequence 'no.toml'."),
    (["encode", "no-run", "--data", "digits", "--out", "z.npy"], 2, "is not a run"),
    (["sample", "no-run", "--add", "3"], 2, "--add has no meaning with --mode generate"),
    (["sample", "no-run", "--mode", "arithmetic", "--subtract", "1"], 2, "--mode arithmetic needs a class to become"),
    (["data", "check", "digitz"], 4, "Did you mean 'digits'?"),
    (["show", "cilp"], 4, "Did you mean 'clip'?"),
    (["plugins", "show", "genlom"], 4, "Did you mean 'genloom'?"),
    (["-p", "no.py", "list"], 4, "no plugin file 'no.py'"),
]


@pytest.mark.parametrize(("words", "code", "message"), CASES, ids=[" ".join(words) for words, _, _ in CASES])
def test_errors_are_one_line_with_their_exit_code(words: list[str], code: int, message: str, genloom: Genloom) -> None:
    done = genloom(*words)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if not line.startswith("Engine:")]
    assert len(errors) == 1 and errors[0].startswith("Error: ")


def test_a_command_of_an_absent_plugin_says_what_to_install(genloom: Genloom) -> None:
    done = genloom("chat", GENLOOM_NO_PLUGINS="1")
    assert (done.returncode, done.stdout) == (2, "")
    told = "Error: No such command 'chat'. It comes with the plugin language: genloom install language"
    assert done.stderr.splitlines()[-1] == told  # nothing is run into the command


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        (["trian", "--json"], "UsageError", 2),
        (["sample", "no-run", "--json"], "ConfigError", 2),
        (["list", "--jsno", "--json"], "UsageError", 2),
        (["show", "cilp", "--json"], "NotFoundError", 4),
    ],
)
def test_json_holds_the_error_too(words: list[str], kind: str, code: int, genloom: Genloom) -> None:
    done = genloom(*words)
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    assert set(document["error"]) == {"type", "message", "mend", "exit_code"}
    assert (document["error"]["type"], document["error"]["exit_code"]) == (kind, code)
    assert done.returncode == code


COMMANDS = """
import genloom
@genloom.hookimpl
def genloom_commands():
    return {"act": ("acting:act", "Act.")}
"""

ACTING = """
import os, signal, sys, time, click
from genloom.errors import RunError, PluginError
@click.command()
@click.argument("what")
@click.option("--json", "as_json", is_flag=True)
def act(what, as_json):
    if what == "bug": {}["no key"]
    if what == "run": raise RunError("Loss is NaN at step 3.", mend="Lower learning_rate.")
    if what == "plugin": raise PluginError("Broken.")
    if what == "interrupt": raise KeyboardInterrupt
    if what == "pipe":
        for _ in range(100000): print("line")
    if what == "wait":
        print("ready", flush=True)
        time.sleep(60)
    if what == "nan":
        import numpy as np
        from genloom.cli.output import print_json
        print_json(value=float("nan"), array=np.arange(2), number=np.float32(1.5))
"""


@pytest.fixture
def acting(install: Callable[..., Path], site: Path) -> None:
    install("genloom-act", COMMANDS, entry_point="act")
    (site / "acting.py").write_text(ACTING)


@pytest.mark.usefixtures("acting")
@pytest.mark.parametrize(
    ("what", "code", "message"),
    [
        ("bug", 1, "Error: KeyError: 'no key' Put --traceback before the command to see where."),
        ("run", 1, "Error: Loss is NaN at step 3. Lower learning_rate."),
        ("plugin", 3, "Error: Broken."),
        ("interrupt", 130, "Error: Interrupted."),
    ],
)
def test_exit_codes_of_what_happens_inside_a_command(what: str, code: int, message: str, genloom: Genloom) -> None:
    done = genloom("act", what)
    assert (done.returncode, done.stderr.strip()) == (code, message)
    document = json.loads(genloom("act", what, "--json").stdout)
    assert document["error"]["exit_code"] == code


@pytest.mark.usefixtures("acting")
def test_traceback_shows_one(genloom: Genloom) -> None:
    assert "Traceback" not in genloom("act", "bug").stderr
    done = genloom("--traceback", "act", "bug")
    assert "Traceback" in done.stderr and "acting.py" in done.stderr
    assert done.returncode == 1


@pytest.mark.usefixtures("acting")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals(number: signal.Signals, code: int, site: Path, subprocess_env: Callable[..., dict[str, str]]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "from genloom.cli.main import main; main()", "act", "wait"],
        env=subprocess_env(PYTHONPATH=os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors


@pytest.mark.usefixtures("acting")
def test_a_reader_that_leaves_is_no_error(genloom: Genloom) -> None:
    code = (
        "import subprocess, sys\n"
        "run = [sys.executable, '-c', 'from genloom.cli.main import main; main()', 'act', 'pipe']\n"
        "process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)\n"
        "process.stdout.readline(); process.stdout.close()\n"
        "print(repr(process.stderr.read())); process.wait()\n"
    )
    assert genloom(code=code).stdout.strip() == "''"


@pytest.mark.usefixtures("acting")
def test_json_has_neither_nan_nor_numpy(genloom: Genloom) -> None:
    document = json.loads(genloom("act", "nan").stdout)
    assert document == {"schema_version": 1, "value": None, "array": [0, 1], "number": 1.5}
