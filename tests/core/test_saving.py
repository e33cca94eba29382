"""Checkpoints are written beside the training: of the right moment, in order, and no error of the writer is lost."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import genloom
from genloom.errors import DiskError, RunError
from genloom.files import atomic as files
from genloom.plugins.discovery import load_file
from genloom.runs import Run, checkpoint, load, load_latest
from genloom.training.background import Background

MODELS = Path(__file__).with_name("training_models.py")
SETTINGS = {"batch_size": 20, "checkpoint_steps": 3, "sample_every": 0, "progress": "none", "keep": 9, "ema": 0.9}
SETTINGS |= {"seed": 4, "epochs": 2, "validation": 0.0}  # 10 steps an epoch: saved at 3, 6, 9, 10, 12, 15, 18, 20


@pytest.fixture(scope="module")
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(MODELS)
    return sys.modules["training_models"]


@pytest.fixture(scope="module")
def whole(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbs."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return genloom.train("tests/vae", models.points(), out=out, **SETTINGS)


class Steps(keras.callbacks.Callback):
    """Note how far the training is, and call `act` after each step."""

    def __init__(self, act: Callable[[int], Any] = lambda step: None) -> None:
        super().__init__()
        self.done, self.act = 0, act

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.done += 1
        self.act(self.done)

    def get_state(self) -> dict[str, Any]:
        return {"done": self.done}

    def set_state(self, state: dict[str, Any]) -> None:
        self.done = state["done"]


def step_of(file: Path) -> int:
    """Return the step of the checkpoint that a file is a draft of."""
    return int(file.parent.name.removeprefix(".draft-step-").partition("-")[0])


def wait_until(true: Callable[[], bool]) -> None:
    """Wait, half a minute at most."""
    end = time.monotonic() + 30
    while not true() and time.monotonic() < end:
        time.sleep(0.001)


def same(first: Path, second: Path, but: str = "callback/") -> None:
    one, two = load(first)[0], load(second)[0]
    names = {name for name in {*one, *two} if not name.startswith(but)}
    for name in names:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert len(names) > 20


def test_what_is_written_late_is_the_state_of_its_step(
    models: Any, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each checkpoint but the first is held back until the training, whose variables move, is further."""
    late: list[tuple[int, int]] = []
    until = {6: 8, 9: 10, 10: 12, 12: 14, 15: 17, 18: 20}  # the next one due waits for the one before
    steps, writing = Steps(), threading.Lock()

    def held(arrays: Any, file: Path) -> None:
        assert writing.acquire(blocking=False), "two checkpoints are written at once"
        step = step_of(file)
        wait_until(lambda: steps.done >= until.get(step, 0))
        late.append((step, steps.done))
        files.write_arrays(arrays, file)
        writing.release()

    monkeypatch.setattr(checkpoint, "write_arrays", held)
    out = tmp_path / "run"
    run = genloom.train("tests/vae", models.points(), out=out, callbacks=[steps], **SETTINGS)
    assert [step for step, _ in late] == [3, 6, 9, 10, 12, 15, 18, 20]
    assert all(done >= until.get(step, step) for step, done in late)
    assert [folder.name for folder in run.checkpoints()] == [folder.name for folder in whole.checkpoints()]
    for mine, theirs in zip(run.checkpoints(), whole.checkpoints(), strict=True):
        same(mine, theirs)
        assert int(load(mine)[0]["callback/0-Steps/done"]) == int(mine.name.removeprefix("step-"))


def test_what_the_disk_refuses_ends_the_training_at_the_next_step(
    models: Any, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()

    def full(arrays: Any, file: Path) -> None:
        if step_of(file) == 6:
            refused.set()
            raise OSError(28, os.strerror(28))
        files.write_arrays(arrays, file)

    def at_seven(step: int) -> None:
        if step == 7:
            refused.wait(30)
            time.sleep(0.2)

    steps = Steps(at_seven)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_arrays", full)
        with pytest.raises(DiskError, match=r"step-00000006' could not be written: No space .*resume=True"):
            genloom.train("tests/vae", models.points(), out=tmp_path / "run", callbacks=[steps], **SETTINGS)
    run = Run(tmp_path / "run")
    assert steps.done == 7
    assert (run.status, run.saved_step) == ("interrupted", 3)
    assert [path.name for path in (run.path / "checkpoints").iterdir()] == ["step-00000003"]
    resumed = genloom.train("tests/vae", models.points(), out=run.path, seed=4, resume=True, callbacks=[Steps()])
    same(resumed.latest(), whole.latest())


def test_an_error_of_the_writer_is_told_beside_another(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    failing = threading.Event()

    def full(arrays: Any, file: Path) -> None:
        if step_of(file) == 6:
            failing.wait(30)
            raise OSError(28, os.strerror(28))
        files.write_arrays(arrays, file)

    def fail(step: int) -> None:
        if step == 8:
            failing.set()
            raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(checkpoint, "write_arrays", full)
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        genloom.train("tests/vae", models.points(), out=tmp_path / "run", callbacks=[Steps(fail)], **SETTINGS)
    assert "step-00000006' could not be written: No space left on device" in capfd.readouterr().err
    assert Run(tmp_path / "run").status == "interrupted"  # and no thread of it holds the lock


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError, "signal"])
def test_however_a_training_ends_what_is_being_written_is_written(
    models: Any, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any
) -> None:
    ending = threading.Event()

    def slow(arrays: Any, file: Path) -> None:
        if step_of(file) == 6:
            ending.wait(30)
            time.sleep(0.3)
        files.write_arrays(arrays, file)

    def end(step: int) -> None:
        if step != 7:
            return
        ending.set()
        if stop == "signal":
            signal.raise_signal(signal.SIGINT)
        else:
            raise stop

    steps = Steps(end)
    monkeypatch.setattr(checkpoint, "write_arrays", slow)
    with pytest.raises(KeyboardInterrupt if stop == "signal" else stop):
        genloom.train("tests/vae", models.points(), out=tmp_path / "run", callbacks=[steps], **SETTINGS)
    run = Run(tmp_path / "run")
    same(run.checkpoints()[1], whole.checkpoints()[1])
    assert run.saved_step == (7 if stop == "signal" else 6)


def test_divergence_names_the_checkpoint_that_was_still_being_written(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Poison(Steps):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                variable = self.model.trainable_variables[0]
                variable.assign(np.full(variable.shape, np.nan, "float32"))

    def slow(arrays: Any, file: Path) -> None:
        if step_of(file) == 20:
            wait_until(lambda: steps.done == 30)
            time.sleep(0.3)
        files.write_arrays(arrays, file)

    steps = Poison()
    monkeypatch.setattr(checkpoint, "write_arrays", slow)
    settings = {**SETTINGS, "checkpoint_steps": 0, "epochs": 3, "callbacks": [steps]}
    with pytest.raises(RunError, match=r" at step 30; step-00000020 is kept"):
        genloom.train("tests/plain", models.points(), out=tmp_path / "run", **settings)
    assert Run(tmp_path / "run").saved_step == 20


KILLED = """
import os, signal, sys, time
import genloom
from genloom.plugins.discovery import load_file
from genloom.runs import checkpoint
from genloom.files import atomic as files
import keras

load_file({models!r})
import training_models

class Steps(keras.callbacks.Callback):
    done = 0

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1

steps = Steps()

def killed(arrays, file):
    if "step-00000006" in str(file):
        while steps.done < 8:
            time.sleep(0.001)
        if sys.argv[2] == "within":
            file.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    files.write_arrays(arrays, file)

checkpoint.write_arrays = killed
genloom.train("tests/vae", training_models.points(), out=sys.argv[1], callbacks=[steps], **{settings!r})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("when", ["before", "within"])
def test_a_kill_while_a_checkpoint_is_written_loses_that_one_alone(
    models: Any, whole: Run, tmp_path: Path, subprocess_env: Callable[..., dict[str, str]], run_python: Any, when: str
) -> None:
    program = KILLED.format(models=str(MODELS), settings=SETTINGS)
    killed = run_python(program, str(tmp_path / "run"), when, env=subprocess_env(), cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run = Run(tmp_path / "run")
    assert run.saved_step == load_latest(run)[1]["step"] == 3
    resumed = genloom.train("tests/vae", models.points(), out=run.path, seed=4, resume=True)
    same(resumed.latest(), whole.latest())
    assert all(path.name.startswith("step-") for path in (run.path / "checkpoints").iterdir())


def test_jobs_run_one_by_one_and_their_outcomes_come_back_to_this_thread() -> None:
    here, order = threading.current_thread(), []

    def job(number: int) -> int:
        order.append((number, threading.current_thread() is here))
        return number

    def then(number: int) -> None:
        order.append((-number, threading.current_thread() is here))

    with Background() as background:
        for number in range(1, 4):
            background.begin(functools.partial(job, number), then)
        background.wait()
        background.look()
    assert order == [(1, False), (-1, True), (2, False), (-2, True), (3, False), (-3, True)]


def test_an_error_of_a_job_is_raised_once() -> None:
    def fail() -> None:
        raise RunError("on purpose")

    with Background() as background:
        background.begin(fail, lambda done: pytest.fail("it has no outcome"))
        with pytest.raises(RunError, match="on purpose"):
            background.wait()
        background.wait()
    with pytest.raises(RunError, match="on purpose"), Background() as background:
        background.begin(fail, lambda done: pytest.fail("it has no outcome"))
