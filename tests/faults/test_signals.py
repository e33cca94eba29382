"""Signals at any step: saved, ended, and gone on with to the bit; before the first step ended at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import genloom
from genloom.cli.failures import guarded
from genloom.plugins.discovery import load_file
from genloom.runs import Run, load_latest

QUIET = {"sample_every": 0, "progress": "none", "batch_size": 20, "steps": 12}
Count = Callable[[str, int, str], None]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STEPS = (2, 9)  # within an epoch, and at its end


@pytest.fixture(scope="module", autouse=True)
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).parents[1] / "core" / "training_models.py")
    return sys.modules["training_models"]


@pytest.fixture(scope="module")
def whole(models: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = genloom.train("tests/plain", models.points(), out=tmp_path_factory.mktemp("whole") / "run", **QUIET)
    return load_latest(run)[0]


class Press(keras.callbacks.Callback):
    """Send this process a signal after a step, or before the first one."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__()
        self.number, self.step = number, step

    def on_train_begin(self, logs: Any = None) -> None:
        if self.step == 0:
            signal.raise_signal(self.number)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == self.step - 1:
            signal.raise_signal(self.number)


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def in_a_terminal() -> Iterator[None]:
    """A hang-up ends a process, whatever the one that runs these tests ignores."""
    with handlers_kept():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        yield


def trained(models: Any, out: Path, *callbacks: Any, **more: Any) -> int:
    """Train as the command line does, and return its exit code."""
    asked = {**QUIET, "out": out, "callbacks": callbacks, **more}

    def command() -> None:
        genloom.train("tests/plain", models.points(), **asked)

    with handlers_kept():
        return guarded(command, [])


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_saves_ends_and_is_gone_on_with_to_the_bit(
    number: signal.Signals, step: int, models: Any, whole: dict[str, Any], tmp_path: Path, count: Count
) -> None:
    code = trained(models, tmp_path / "run", Press(number, step))
    assert code == (130 if number == signal.SIGINT else 143)
    assert Run(tmp_path / "run").saved_step == step
    assert trained(models, tmp_path / "run", resume=True) == 0
    resumed = load_latest(Run(tmp_path / "run"))[0]
    assert [name for name in whole if not np.array_equal(whole[name], resumed[name])] == []
    count(f"{number.name} after step {step}", 1, "saved, ended, resumed to the bit")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_first_signal_ends_what_has_not_begun_its_first_step(
    number: signal.Signals, models: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], count: Count
) -> None:
    code = trained(models, tmp_path / "run", Press(number, 0))
    assert code == (130 if number == signal.SIGINT else 143)
    run = Run(tmp_path / "run")
    assert run.checkpoints() == [] and [*run.log()] == []
    assert "Stopped at once: nothing was saved." in capfd.readouterr().err
    assert trained(models, tmp_path / "run", resume=True) == 0
    assert trained(models, tmp_path / "run", Press(number, 0), resume=True, steps=15) == code
    assert run.saved_step == 12
    assert "Stopped at once: step 12 is saved." in capfd.readouterr().err
    count(f"{number.name} before the first step", 2, "ended at once, nothing lost")


def test_a_hang_up_that_is_ignored_as_under_nohup_stays_so(models: Any, tmp_path: Path) -> None:
    with handlers_kept():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert trained(models, tmp_path / "run", Press(signal.SIGHUP, 2)) == 0
    assert Run(tmp_path / "run").status == "finished"


def test_a_terminal_that_is_gone_does_not_stop_the_saving(models: Any, tmp_path: Path) -> None:
    ours = os.dup(1), os.dup(2)
    reading, writing = os.pipe()
    os.close(reading)  # what is written now fails, as on a terminal that hung up
    os.dup2(writing, 2)
    try:
        code = trained(models, tmp_path / "run", Press(signal.SIGHUP, 2))
    finally:
        for number, kept in enumerate(ours, 1):
            os.dup2(kept, number)
            os.close(kept)
        os.close(writing)
    assert code == 143
    assert Run(tmp_path / "run").saved_step == 2
