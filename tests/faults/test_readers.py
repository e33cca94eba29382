"""Readers beside a process that saves, prunes and replaces checkpoints as fast as it can, on a busy machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from genloom.runs import Run, create_run, manifest, retention, save

pytestmark = pytest.mark.any_engine

READER = """
import json, pathlib, sys
from genloom.runs import Run, load_latest
run, reads, newest, over = Run(sys.argv[1]), 0, -1, False
while not over:
    over = (run.path / "over").exists()
    arrays, content = load_latest(run)
    assert set(arrays["w"].tolist()) == {content["step"]}, content["step"]
    assert content["step"] >= newest - 1, (content["step"], newest)  # one that is replaced is away for a moment
    newest, reads = max(newest, content["step"]), reads + 1
    (run.path / f"reads-{sys.argv[2]}").touch()
print(json.dumps({"reads": reads, "newest": newest}))
"""
READERS, BUSY = 2, 3


@pytest.fixture
def busy() -> Iterator[None]:
    """Give the machine other work than this test's."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    yield
    for other in others:
        other.kill()
        other.wait()


@pytest.mark.usefixtures("busy")
def test_readers_beside_a_pruning_writer_find_whole_checkpoints(
    tmp_path: Path, tries: Callable[[int, int], int], count: Callable[[str, int, str], None]
) -> None:
    run, saves = create_run(tmp_path / "run"), tries(60, 1000)
    run.write_config({"model": {"id": "a"}})
    save(run, 0, {"w": np.full(64, 0)})
    commands = [[sys.executable, "-c", READER, str(run.path), str(number)] for number in range(READERS)]
    pipe = subprocess.PIPE
    readers = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for command in commands]
    until = time.monotonic() + 60
    while len(list(run.path.glob("reads-*"))) < READERS and time.monotonic() < until:
        time.sleep(0.01)
    for step in range(1, saves + 1):
        with run.lock():
            save(run, step, {"w": np.full(64, step)}, keep=5)
            save(run, step, {"w": np.full(64, step)}, keep=5)  # replaced by its like
        retention.carry_out(retention.plan(Run(run.path), keep=2))
    (run.path / "over").touch()
    told = [reader.communicate(timeout=60) for reader in readers]
    assert [(reader.returncode, error) for reader, (_, error) in zip(readers, told, strict=True)] == [(0, "")] * READERS
    read = [json.loads(out) for out, _ in told]
    assert all(each["newest"] == saves for each in read)
    assert [manifest.step_of(folder) for folder in run.checkpoints()] == [saves - 1, saves]
    reads = sum(each["reads"] for each in read)
    count(
        "readers beside saving, replacing and pruning, three busy processes too", reads, "each reads a whole checkpoint"
    )
