"""Processes killed at any instant, while they save too: the training is gone on with, to the last bit."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from genloom.runs import Run, load_latest

SETTINGS = {
    "batch_size": 10,
    "epochs": 6,
    "checkpoint_steps": 2,
    "sample_every": 2,
    "sample_count": 4,
    "progress": "none",
}
TRAINING = f"""
import sys
import numpy as np
import genloom

pictures = np.random.default_rng(0).uniform(-1, 1, (40, 8, 8, 1)).astype("float32")
resume = genloom.Run(sys.argv[1]).exists
print("ready", flush=True)
genloom.train("vae/mlp", pictures, preset="tiny", out=sys.argv[1], seed=1, resume=resume, **{SETTINGS})
"""


pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL"),
    pytest.mark.any_engine,
    pytest.mark.long,
]
Tries = Callable[[int, int], int]
Count = Callable[[str, int, str], None]
SEEN_WITHIN = 5  # trainings: on a busy machine a checkpoint may be written between two looks
SAME = "resumed: arrays, log and pictures are equal to the bit"


class Trained(NamedTuple):
    """How to train, and what comes of it undisturbed."""

    env: dict[str, str]
    seconds: float
    expected: dict[str, Any]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    env = {name: value for name, value in os.environ.items() if not name.startswith("GENLOOM_")}
    seconds = lasting(out, env)
    return Trained(env, seconds, held(Run(out)))


def test_a_training_killed_at_any_instant_goes_on_to_the_same_bits(
    undisturbed: Trained, tmp_path: Path, tries: Tries, count: Count
) -> None:
    chosen, kills = random.Random(0), 0
    for number in range(tries(1, 12)):
        out = tmp_path / str(number)
        for _ in range(tries(1, 2)):
            # A process that found its files in memory may end sooner than the first one did.
            kills += kill(out, chosen.uniform(0.0, 0.5 * undisturbed.seconds), undisturbed.env)
        lasting(out, undisturbed.env)
        assert held(Run(out)) == undisturbed.expected
    assert kills > 0
    count("SIGKILL at a random instant", kills, SAME)


def test_a_training_killed_while_it_saves_goes_on_to_the_same_bits(
    undisturbed: Trained, tmp_path: Path, tries: Tries, count: Count
) -> None:
    chosen, number = random.Random(1), tries(1, 12)
    for n in range(number):
        out = tmp_path / str(n)
        for _ in range(SEEN_WITHIN):
            shutil.rmtree(out, ignore_errors=True)
            if kill_in_a_draft(out, chosen.randint(1, 4), chosen.uniform(0.0, 0.003), undisturbed.env):
                break
        else:
            pytest.fail(f"in {SEEN_WITHIN} trainings no checkpoint was seen while it was written")
        lasting(out, undisturbed.env)
        assert held(Run(out)) == undisturbed.expected
        assert not [path for path in (out / "checkpoints").iterdir() if path.name.startswith(".")]
    count("SIGKILL within the writing of a checkpoint", number, SAME)


@contextlib.contextmanager
def training(out: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that trains, or goes on with it, from when GenLoom is imported."""
    command = [sys.executable, "-c", TRAINING, str(out)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def lasting(out: Path, env: dict[str, str]) -> float:
    """Let a training come to its end; return how long that took."""
    with training(out, env) as process:
        began = time.monotonic()
        assert process.wait(600) == 0
    return time.monotonic() - began


def kill(out: Path, after: float, env: dict[str, str]) -> bool:
    """Kill a training after so many seconds; return whether it still ran."""
    with training(out, env) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
        process.kill()
        return process.wait() == -signal.SIGKILL


def kill_in_a_draft(out: Path, saved: int, after: float, env: dict[str, str]) -> bool:
    """Kill a training that has so many checkpoints as soon as it is seen to write the next one; say whether it was."""
    written: set[str] = set()
    with training(out, env) as process:
        while process.poll() is None:
            names = {path.name for path in (out / "checkpoints").glob("*")}
            written |= {name for name in names if name.startswith("step-")}
            if len(written) >= saved and any(name.startswith(".draft") for name in names):
                time.sleep(after)
                break
        process.kill()
        return process.wait() == -signal.SIGKILL


def held(run: Run) -> dict[str, Any]:
    """Return what a finished run holds, comparable bit by bit."""
    arrays, content = load_latest(run)
    log = [{key: value for key, value in line.items() if key != "seconds"} for line in run.log()]
    pictures = {path.name: path.read_bytes() for path in (run.path / "samples").iterdir()}
    assert run.status == "finished"
    return {"step": content["step"], "log": log, "pictures": pictures} | {n: a.tobytes() for n, a in arrays.items()}
