"""A disk that is full or fails, at any of the calls that write: one error that names the file, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes calls fail."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("needs Linux and a C compiler: calls of the C library are made to fail by a preloaded library")
    library = tmp_path_factory.mktemp("refusing") / "refusing.so"
    source = FOLDER / "refusing.c"
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.any_engine
@pytest.mark.parametrize(("what", "short", "full"), [("save", 2, 100), ("train", 2, 60)])
def test_a_refused_call_is_one_error_and_loses_nothing(
    what: str,
    short: int,
    full: int,
    refusing: Path,
    tmp_path: Path,
    tries: Callable[[int, int], int],
    count: Callable[[str, int, str], None],
    subprocess_env: Callable[..., dict[str, str]],
) -> None:
    below = tmp_path / "below"
    below.mkdir()
    command = [sys.executable, str(FOLDER / "refusing.py"), what, str(below), str(tries(short, full))]
    env = subprocess_env(LD_PRELOAD=os.fspath(refusing), REFUSING_BELOW=os.fspath(below))
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert len(found["tried"]) == {"save": 6, "train": 2}[what]
    for fault, number in found["tried"].items():
        count(fault, number, "the file is named; the run goes on from the last whole checkpoint to equal bits")
