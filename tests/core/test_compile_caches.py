"""What an engine compiles is kept for the next process, in a folder that is the user's alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from genloom import backend
from genloom.files.caches import folder_to_keep

PROGRAM = """
import logging
logging.basicConfig(level="DEBUG")
from genloom import backend
backend.keep_compilations()
if backend.name() == "jax":
    import jax
    jax.jit(lambda x: jax.lax.fori_loop(0, 3, lambda i, y: y @ y + i, x))(jax.numpy.ones((4, 4)))
else:
    import tensorflow as tf
    tf.function(lambda x: x @ x + 1.0, jit_compile=True)(tf.ones((4, 4)))
"""
KEEP = "from genloom import backend; backend.keep_compilations()\n"
NOTHING_CHANGES = """
import importlib, os, keras
def settings():
    own = ("KERAS_BACKEND", "_GENLOOM_DEFAULT_ENGINE", "TF_CPP_MIN_LOG_LEVEL")  # the choice of the engine
    variables = {name: value for name, value in os.environ.items() if name not in own}
    engine = importlib.import_module(keras.backend.backend())
    if engine.__name__ == "jax":
        return variables, dict(engine.config.values)
    if engine.__name__ == "torch":
        return variables, engine.get_default_dtype(), engine.get_num_threads(), engine.get_float32_matmul_precision()
    return variables, engine.config.optimizer.get_experimental_options()
before = settings()
import genloom
from genloom import backend
assert settings() == before
"""
MODEL_AFTER_WORK = """
import os
import genloom, keras
from genloom import backend
keras.ops.matmul(keras.ops.ones((3, 3)), keras.ops.ones((3, 3)))
genloom.create("vae/mlp", genloom.DataSpec((4, 4, 1), "image"), preset="tiny")
"""
VARIABLES = ("JAX_COMPILATION_CACHE_DIR", "TF_XLA_FLAGS")

keeps = pytest.mark.skipif(backend.name() == "torch", reason="torch compiles nothing unless asked")


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


def test_importing_configures_no_engine(run: Callable[..., str], tmp_path: Path) -> None:
    run(NOTHING_CHANGES)
    assert not (tmp_path / "kept").exists()


@pytest.mark.skipif(backend.name() != "jax", reason="TensorFlow uses XLA for what asks for it")
def test_what_is_compiled_from_the_first_model_on_is_kept(run: Callable[..., str], tmp_path: Path) -> None:
    run(MODEL_AFTER_WORK)
    assert len([*(tmp_path / "kept" / "jax").glob("*-cache")]) > 10


@keeps
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


@keeps
def test_the_users_own_setting_wins(run: Callable[..., str], tmp_path: Path) -> None:
    program = f"{KEEP}import os; print([os.environ[name] for name in {VARIABLES}])"
    mine = dict.fromkeys(VARIABLES, "--mine")
    assert str(["--mine"] * 2) in run(program, **mine)
    assert not (tmp_path / "kept").exists()


@keeps
def test_a_cache_that_cannot_be_made_is_a_warning(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = run(
        "from genloom import backend\n" + "backend.keep_compilations()\n" * 2, GENLOOM_CACHE=str(tmp_path / "file")
    )
    assert told.count("compiles anew in every process") == 1


@pytest.mark.skipif(backend.name() != "jax", reason="an entry of its own form")
def test_entries_that_a_full_disk_cut_off_are_written_again(run: Callable[..., str], tmp_path: Path) -> None:
    run(PROGRAM)
    entries = sorted((tmp_path / "kept" / "jax").glob("*-cache"))
    assert len(entries) >= 2
    whole = {entry: entry.stat().st_size for entry in entries}
    for number, entry in enumerate(entries):
        entry.write_bytes(entry.read_bytes()[:10])
        used = entry.with_name(entry.name.removesuffix("-cache") + "-atime")
        used.write_bytes(b"") if number else used.unlink()
    told = run(PROGRAM)
    assert "persistent compilation cache entry" not in told and "cache hit for 'jit__lambda" not in told
    assert all(entry.stat().st_size > size // 2 for entry, size in whole.items())


def test_a_disk_that_is_nearly_full_keeps_nothing_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENLOOM_CACHE", str(tmp_path))
    for free, kept in ((2**26 - 1, None), (2**26, tmp_path / "jax")):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: SimpleNamespace(free=free))
        assert folder_to_keep("jax") == kept
    assert capsys.readouterr().err == (
        f"genloom: warning: jax compiles anew in every process: only 63 MiB are free at {str(tmp_path / 'jax')!r}.\n"
    )
