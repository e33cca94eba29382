"""Which engine is chosen and why: flag, KERAS_BACKEND, keras.json when installed, the first installed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from genloom import engine
from genloom.errors import ConfigError

Genloom = Callable[..., subprocess.CompletedProcess[str]]
Python = Callable[..., subprocess.CompletedProcess[str]]
ENGINE = keras.backend.backend()
OTHERS = tuple(name for name in engine.ENGINES if name != ENGINE)
GENLOOM = "from genloom.cli.main import main; main()"

# As sitecustomize.py on the import path: these packages are not installed.
HIDE = """
import importlib.machinery as machinery
find = machinery.PathFinder.find_spec
def find_spec(cls, name, *rest):
    return None if name in {names!r} else find(name, *rest)
machinery.PathFinder.find_spec = classmethod(find_spec)
"""


@pytest.fixture
def python(tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]) -> Python:
    """Run Python code as a new user does: a home of their own, one engine, and no variable that names it."""

    def run(code: str, *words: str, hidden: tuple[str, ...] = OTHERS, **variables: str | None) -> Any:
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / "sitecustomize.py").write_text(HIDE.format(names=hidden))
        path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
        home = {"HOME": str(tmp_path / "home"), "KERAS_HOME": None, "KERAS_BACKEND": None, "TF_CPP_MIN_LOG_LEVEL": None}
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            env=subprocess_env(**{**home, "PYTHONPATH": path, **variables}),
            check=False,
            timeout=120,
            cwd=tmp_path,
        )

    return run


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Pretend that these engines are installed, and that keras.json names one."""

    def pretend(*installed: str, configured: str | None = None, variable: str | None = None) -> None:
        def find_spec(name: str) -> types.SimpleNamespace | None:
            return types.SimpleNamespace(origin=f"{name}/__init__.py") if name in installed else None

        monkeypatch.setattr(importlib.util, "find_spec", find_spec)
        monkeypatch.setattr(engine, "_running", lambda: None)
        monkeypatch.setenv("_GENLOOM_DEFAULT_ENGINE", "")
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


@pytest.mark.any_engine
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


def test_keras_imported_with_another_engine_is_an_error(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("jax", "torch")
    monkeypatch.setattr(engine, "_running", lambda: "torch")
    assert engine.select() == ("torch", "Keras, which is imported already")
    with pytest.raises(ConfigError, match="Keras is imported with torch already, so jax cannot be used"):
        engine.choose("jax")


def test_a_default_is_no_wish_but_a_flag_is(machine: Callable[..., None]) -> None:
    machine("jax", "torch")
    engine.prepare()
    assert (os.environ["KERAS_BACKEND"], engine.wished()) == ("jax", None)
    assert engine.select() == ("jax", "the first one installed of jax, torch, tensorflow")
    engine.prepare("jax")
    assert engine.wished() == "jax"


def test_python_gets_its_engine_and_hears_of_it_once(python: Python) -> None:
    code = (
        "import genloom, os, sys\n"
        "assert 'keras' not in sys.modules\n"
        "print(os.environ['KERAS_BACKEND'])\n"
        "genloom.DataSpec\n"
        "assert 'keras' not in sys.modules\n"
        "from genloom import Phase, create, layers, sample\n"
        "print(genloom.backend.name())\n"
    )
    done = python(code)
    assert done.stdout.split() == [ENGINE, ENGINE], done.stderr
    assert done.stderr == f"Engine: {ENGINE}\n"  # TensorFlow's own notes would stand here


def test_keras_imported_first_decides_for_child_processes_too(python: Python) -> None:
    code = "import keras, os; os.environ.pop('KERAS_BACKEND'); import genloom; print(genloom.engine.wished())"
    assert python(code, KERAS_BACKEND=ENGINE).stdout == f"{ENGINE}\n"


@pytest.mark.any_engine
def test_without_an_engine_python_hears_what_to_install(python: Python) -> None:
    done = python("import genloom; print(genloom.runs.list_runs('.')); genloom.create", hidden=engine.ENGINES)
    assert done.stdout == "[]\n"
    assert done.stderr.endswith("No engine is installed. Install one: pip install 'genloom[jax]'\n")


def test_a_child_process_and_a_file_get_their_engine_too(python: Python, tmp_path: Path) -> None:
    checked = python(GENLOOM, "plugins", "check", "vae", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (tmp_path / "mine.py").write_text("from keras import backend\nprint('runs on', backend.backend())\n")
    loaded = python(GENLOOM, "-p", str(tmp_path / "mine.py"), "list", "models")
    assert loaded.stderr == f"runs on {ENGINE}\n"


@pytest.mark.any_engine
def test_what_keras_writes_by_itself_is_no_wish(python: Python, machine: Callable[..., None], tmp_path: Path) -> None:
    """The first command in a new home makes keras.json; the second must run on the same engine."""
    first = python("import genloom; genloom.backend")
    assert first.stderr == f"Engine: {ENGINE}\n"
    written = tmp_path / "home" / ".keras" / "keras.json"
    assert json.loads(written.read_text()) == engine.KERAS_DEFAULTS
    machine("jax", "tensorflow")
    shutil.copy(written, tmp_path / "keras.json")
    assert engine.select()[0] == "jax"
    (tmp_path / "keras.json").write_text(json.dumps({**engine.KERAS_DEFAULTS, "floatx": "float64"}))
    assert engine.select()[0] == "tensorflow"


@pytest.mark.any_engine
@pytest.mark.parametrize("variables", [{"HOME": "/dev/null/home"}, {"KERAS_HOME": "/dev/null/keras"}])
def test_keras_json_is_looked_for_where_keras_looks(variables: dict[str, str], python: Python) -> None:
    code = (
        "import genloom\n"
        "from keras.src.backend.config import keras_home\n"
        "assert keras_home() == genloom.engine.keras_folder(), keras_home()\n"
    )
    assert python(code, **variables).returncode == 0


def test_no_home_at_all_is_no_error(python: Python) -> None:
    assert python("import genloom; print(genloom.engine.select()[0])", HOME=None).stdout == f"{ENGINE}\n"


@pytest.mark.any_engine
def test_of_what_tensorflow_says_only_notes_are_kept_back(python: Python) -> None:
    code = (
        "import os\nfrom genloom import engine\nos.environ['KERAS_BACKEND'] = 'tensorflow'\n"
        "with engine.without_notes():\n"
        "    os.write(2, b'I0000 00:00:1 port.cc:153] oneDNN\\nW0000 00:00:1 x.cc:1] careful\\n')\n"
    )
    assert python(code).stderr == "W0000 00:00:1 x.cc:1] careful\n"
    assert "oneDNN" in python(code, TF_CPP_MIN_LOG_LEVEL="0").stderr


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
