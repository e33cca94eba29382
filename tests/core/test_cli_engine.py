"""Which engine is chosen and why: flag, KERAS_BACKEND, keras.json when installed, the first installed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from genloom.cli import engine
from genloom.errors import ConfigError

Genloom = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Pretend that these engines are installed, and that keras.json names one."""

    def pretend(*installed: str, configured: str | None = None, variable: str | None = None) -> None:
        def find_spec(name: str) -> types.SimpleNamespace | None:
            return types.SimpleNamespace(origin=f"{name}/__init__.py") if name in installed else None

        monkeypatch.setattr(importlib.util, "find_spec", find_spec)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        if configured is not None:
            (tmp_path / "keras.json").write_text(json.dumps({"backend": configured}))
        if variable is not None:
            monkeypatch.setenv("KERAS_BACKEND", variable)

    return pretend


def test_the_first_installed_in_the_order_of_preference(machine: Callable[..., None]) -> None:
    machine("tensorflow", "torch")
    assert engine.select()[0] == "torch"


def test_keras_json_counts_only_when_that_engine_is_installed(machine: Callable[..., None], tmp_path: Path) -> None:
    machine("jax", "tensorflow", configured="tensorflow")
    assert engine.select() == ("tensorflow", str(tmp_path / "keras.json"))
    machine("jax", configured="tensorflow")
    assert engine.select()[0] == "jax"
    (tmp_path / "keras.json").write_text("{damaged")
    assert engine.select()[0] == "jax"


def test_the_variable_beats_the_file_and_the_flag_beats_the_variable(machine: Callable[..., None]) -> None:
    machine("jax", "torch", "tensorflow", configured="tensorflow", variable="torch")
    assert engine.select() == ("torch", "KERAS_BACKEND")
    assert engine.select("jax") == ("jax", "--backend")


@pytest.mark.parametrize(
    ("installed", "flag", "message"),
    [
        ((), None, "pip install 'genloom[jax]'"),
        (("jax",), "torch", "pip install 'genloom[torch]'"),
        (("jax",), "tensorflo", "Did you mean 'tensorflow'?"),
    ],
)
def test_what_is_missing_is_named_with_the_install_line(
    installed: tuple[str, ...], flag: str | None, message: str, machine: Callable[..., None]
) -> None:
    machine(*installed)
    with pytest.raises(ConfigError) as caught:
        engine.select(flag)
    assert message in str(caught.value)


def test_no_engine_is_exit_2_with_the_install_line(genloom: Genloom) -> None:
    code = (
        "import importlib.util\n"
        "find, engines = importlib.util.find_spec, ('jax', 'torch', 'tensorflow')\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in engines else find(name, *rest)\n"
        "from genloom.cli.main import main; main()\n"
    )
    done = genloom("train", "vae/conv", "--data", "digits", code=code, KERAS_BACKEND=None)
    assert done.returncode == 2
    assert done.stderr == "Error: No engine is installed. Install one: pip install 'genloom[jax]'\n"


def test_keras_imported_with_another_engine_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    used = keras.backend.backend()
    other = next(name for name in engine.ENGINES if name != used)
    monkeypatch.setattr(engine, "select", lambda flag: (other, "--backend"))
    with pytest.raises(ConfigError, match=f"Keras is imported with {used} already"):
        engine.choose(other)


def test_the_engine_is_the_first_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    used = engine.choose()
    assert capsys.readouterr().err == f"Engine: {used}\n"
    assert used == sys.modules["keras"].backend.backend()


COMMANDS = """
import genloom
@genloom.hookimpl
def genloom_commands():
    return {"which": ("asking:which", "Say which engine Keras runs on.")}
"""

ASKING = """
import click
@click.command()
@click.option("--backend")
def which(backend):
    import keras
    print(keras.backend.backend())
"""


def test_a_plugins_command_runs_on_the_engine_that_its_flag_names(
    genloom: Genloom, install: Callable[..., Path], site: Path
) -> None:
    install("genloom-which", COMMANDS, entry_point="which")
    (site / "asking.py").write_text(ASKING)
    available = engine.installed()
    for wanted in available:
        assert genloom("which", "--backend", wanted, KERAS_BACKEND=None).stdout.strip() == wanted
    without = genloom("which", KERAS_BACKEND=None, KERAS_HOME=str(site))
    assert without.stdout.strip() == available[0], without.stderr
    wrong = genloom("which", "--backend", "jaxx", KERAS_BACKEND=None)
    assert wrong.returncode == 2 and "Did you mean 'jax'?" in wrong.stderr
