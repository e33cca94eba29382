"""What an engine compiles is kept for the next process, in a folder that is the user's alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genloom import backend

PROGRAM = """
import logging
logging.basicConfig(level="DEBUG")
from genloom import backend
if backend.name() == "jax":
    import jax
    jax.jit(lambda x: jax.lax.fori_loop(0, 3, lambda i, y: y @ y + i, x))(jax.numpy.ones((4, 4)))
else:
    import tensorflow as tf
    tf.function(lambda x: x @ x + 1.0, jit_compile=True)(tf.ones((4, 4)))
"""
VARIABLES = ("JAX_COMPILATION_CACHE_DIR", "TF_XLA_FLAGS")

pytestmark = pytest.mark.skipif(backend.name() == "torch", reason="torch compiles nothing")


@pytest.fixture
def run(tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]) -> Callable[..., str]:
    def run(program: str, **variables: str) -> str:
        environment = dict.fromkeys(VARIABLES) | {"GENLOOM_CACHE": str(tmp_path / "kept"), "TF_CPP_MIN_LOG_LEVEL": "0"}
        environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        command = [sys.executable, "-c", program]
        env = subprocess_env(**environment | variables)
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    return run


def test_a_second_process_finds_what_the_first_compiled(run: Callable[..., str], tmp_path: Path) -> None:
    first = run(PROGRAM)
    (folder,) = (tmp_path / "kept").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name.endswith(("-cache", ".pb"))}
    assert kept
    second = run(PROGRAM)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    if backend.name() == "jax":
        assert "cache hit for 'jit__lambda" not in first
        assert "cache hit for 'jit__lambda" in second


def test_the_users_own_setting_wins(run: Callable[..., str], tmp_path: Path) -> None:
    program = f"import os; from genloom import backend; print([os.environ[name] for name in {VARIABLES}])"
    mine = dict.fromkeys(VARIABLES, "--mine")
    assert str(["--mine"] * 2) in run(program, **mine)
    assert not (tmp_path / "kept").exists()


def test_a_cache_that_cannot_be_made_is_a_warning(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = run("from genloom import backend", GENLOOM_CACHE=str(tmp_path / "file"))
    assert told.count("compiles anew in every process") == 1
