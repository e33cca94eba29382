"""The examples run in their short form and print a measured number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Environment = Callable[..., dict[str, str]]
FAMILIES = ("vae", "gan", "diffusion")
# The core's own tests compare the engines; here one is enough, except where the documentation's session asks.
slow = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND") != "jax" and "GENLOOM_EXAMPLES" not in os.environ,
    reason="the examples run on jax, and in `nox -s docs`",
)


def finish(words: list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@slow
@pytest.mark.parametrize("family", FAMILIES)
def test_an_example_trains_draws_and_measures(
    family: str, repository: Path, tmp_path: Path, subprocess_env: Environment
) -> None:
    example = repository / "examples" / f"digits_{family}.py"
    printed = finish([sys.executable, str(example), "--quick"], tmp_path, subprocess_env(OUT="run"))
    assert float(printed.split()[1]) > float(printed.split()[3]) > 0.0  # worse than its floor after two epochs
    assert len(list((tmp_path / "run" / "samples").glob("epoch-*.png"))) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_an_example_is_short_and_shows_its_seven_steps(family: str, repository: Path) -> None:
    source = (repository / "examples" / f"digits_{family}.py").read_text("utf-8")
    assert len(source.splitlines()) <= 80
    assert [step for step in range(1, 8) if f"    # {step} " not in source] == []
    assert "fd[pca20] 0." in source.partition("from __future__")[0]


@slow
def test_the_one_file_plugin_trains_and_post_processes(
    repository: Path, tmp_path: Path, subprocess_env: Environment
) -> None:
    plugin = str(repository / "examples" / "one_file_plugin.py")
    genloom = [sys.executable, "-c", "from genloom.cli.main import main; main()", "-p", plugin]
    train = [*genloom, "train", "gaussian", "--data", "digits", "--preset", "quick", "--out", "run"]
    finish(train, tmp_path, subprocess_env())
    finish([*genloom, "sample", "run", "-n", "4", "--post", "invert", "--out", "x.png"], tmp_path, subprocess_env())
    assert (tmp_path / "x.png").exists()


@slow
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs_from_top_to_bottom(repository: Path, tmp_path: Path, subprocess_env: Environment) -> None:
    notebook = json.loads((repository / "examples" / "digits.ipynb").read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    finish([sys.executable, "-c", code + "\nassert drawn.samples.shape == (20, 8, 8, 1)"], tmp_path,
           subprocess_env(GENLOOM_EXAMPLES="short"))  # fmt: skip


def test_the_engine_script_is_valid_bash(repository: Path) -> None:
    subprocess.run(["bash", "-n", str(repository / "examples" / "switch_engine.sh")], check=True)
