"""A training killed with SIGKILL in the middle of an epoch goes on to bitwise the weights of one that was not."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import safetensors.numpy

import genloom
from genloom.errors import ConfigError, DataError, RunError
from genloom.plugins.discovery import load_file
from genloom.runs import checkpoint, load_latest

pytestmark = pytest.mark.long

MODELS = Path(__file__).parents[1] / "core" / "training_models.py"

# Batches of 20 of 200 points: 10 steps per epoch for the adversarial model, 9 for the one that holds a tenth out.
SETTINGS = {"batch_size": 20, "checkpoint_steps": 3, "sample_every": 0, "progress": "none", "ema": 0.9, "keep": 9}
CASES: dict[str, dict[str, Any]] = {
    "tests/vae": {"accumulate": 2, "clip": 1.0, "schedule": "cosine", "warmup_steps": 4, "epochs": 3},
    "tests/gan": {"warmup_steps": 15, "steps": 27},
    "tests/wgan": {"epochs": 3},
}
LENGTHS = {1: (14, 12), 4: (5, 13)}  # steps per execution: (executions before the kill, last saved step)

KILLED = """
import os, signal, sys, time
import genloom
from genloom.plugins.discovery import load_file
import keras

load_file({models!r})
import training_models

class Kill(keras.callbacks.Callback):
    count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        if self.count == {count}:  # after a checkpoint within the second epoch
            while not os.path.isdir(sys.argv[1] + "/checkpoints/step-{saved:08d}"):  # written beside the training
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

callbacks = [training_models.Peek(), Kill()]
genloom.train({id!r}, training_models.points(), out=sys.argv[1], seed=4, callbacks=callbacks, **{settings!r})
"""

# Convolutions over a batch that every engine spreads over its threads; killed after so many steps, or resumed.
ON_ALL_THREADS = """
import os, signal, sys, time
import genloom
import keras

class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == int(sys.argv[2]):
            while not os.path.isdir(sys.argv[1] + "/checkpoints/step-00000002"):  # written beside the training
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

settings = {"batch_size": 128, "steps": 4, "checkpoint_steps": 2, "validation": 0.0, "sample_every": 0, "seed": 4}
settings |= {"progress": "none"}
resume = genloom.Run(sys.argv[1]).exists
callbacks = [] if resume else [Kill()]
genloom.train("vae/conv", "digits", preset="tiny", out=sys.argv[1], resume=resume, callbacks=callbacks, **settings)
"""


@pytest.fixture(scope="module")
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(MODELS)
    return sys.modules["training_models"]


class Counting(keras.callbacks.Callback):
    """Notes each epoch's mean; its own counter is part of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs += 1

    def get_state(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def set_state(self, state: dict[str, Any]) -> None:
        self.epochs = state["epochs"]


def test_samples_drawn_within_an_epoch_change_nothing(models: Any, tmp_path: Path) -> None:
    peek, settings = models.Peek(), {**SETTINGS, "seed": 4, "epochs": 2}
    plain = genloom.train("tests/wgan", models.points(), out=tmp_path / "plain", **settings)
    drawing = genloom.train("tests/wgan", models.points(), out=tmp_path / "peek", callbacks=[peek], **settings)
    same(plain, drawing)
    first, second = peek.drawn
    assert np.abs(first - second).max() > 1e-3  # drawn from the weights of that step, not from those of the start


def lines(run: Any) -> list[dict[str, Any]]:
    kept = [dict(line) for line in run.log()]
    for line in kept:
        line.pop("seconds")
    return kept


def same(first: Any, second: Any) -> None:
    """Compare everything two runs have saved and logged, bit by bit."""
    one, two = load_latest(first), load_latest(second)
    assert one[1]["step"] == two[1]["step"]
    assert one[0].keys() == two[0].keys()
    for name, array in one[0].items():
        np.testing.assert_array_equal(array, two[0][name], err_msg=name)
    assert lines(first) == lines(second)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(("id", "most"), [*((id, 1) for id in CASES), ("tests/vae", 4)])
def test_a_killed_training_resumes_bitwise(
    models: Any, tmp_path: Path, subprocess_env: Callable[..., dict[str, str]], run_python: Any, id: str, most: int
) -> None:
    settings = {**SETTINGS, **CASES[id], "steps_per_execution": most}
    count, saved = LENGTHS[most]
    run = genloom.Run(tmp_path / "killed")
    program = KILLED.format(models=str(MODELS), id=id, settings=settings, count=count, saved=saved)
    killed = run_python(program, str(run.path), env=subprocess_env(), cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert run.latest().name == f"step-{saved:08d}"
    assert run.status == "interrupted"
    whole = genloom.train(id, models.points(), out=tmp_path / "whole", seed=4, **settings)
    resumed = genloom.train(id, models.points(), out=run.path, seed=4, resume=True)
    same(whole, resumed)
    assert whole.status == resumed.status == "finished"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_training_resumes_bitwise_on_all_threads(
    tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]
) -> None:
    """As users have it: these tests otherwise keep to one thread, whose sums are always in one order."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"))

    def train(name: str, kill_after: int) -> int:
        command = [sys.executable, "-c", ON_ALL_THREADS, str(tmp_path / name), str(kill_after)]
        return subprocess.run(command, env=subprocess_env(**threads), check=False, timeout=300).returncode

    assert train("whole", kill_after=0) == 0
    assert train("killed", kill_after=3) == -signal.SIGKILL
    assert genloom.Run(tmp_path / "killed").latest().name == "step-00000002"
    assert train("killed", kill_after=0) == 0
    same(genloom.Run(tmp_path / "whole"), genloom.Run(tmp_path / "killed"))


def test_more_epochs_later_equal_all_at_once(models: Any, tmp_path: Path) -> None:
    halve = {"monitor": "val_loss", "mode": "min", "factor": 0.5, "patience": 1, "min_delta": 10.0}

    def callbacks() -> list[Any]:
        return [keras.callbacks.ReduceLROnPlateau(**halve), Counting()]

    settings = {**SETTINGS, "seed": 2}
    data = models.points()
    at_once, parts = callbacks(), callbacks()
    whole = genloom.train("tests/vae", data, out=tmp_path / "whole", epochs=5, callbacks=at_once, **settings)
    genloom.train("tests/vae", data, out=tmp_path / "parts", epochs=2, callbacks=callbacks(), **settings)
    resumed = genloom.train("tests/vae", data, out=tmp_path / "parts", epochs=5, resume=True, seed=2, callbacks=parts)
    same(whole, resumed)
    assert parts[1].epochs == at_once[1].epochs == 5
    rates = [line["rates"]["vae"] for line in whole.log() if line["rates"]]
    assert rates[-1] < rates[0]  # patience ran out at least once, on counters carried over
    before = lines(resumed)
    assert lines(genloom.train("tests/vae", data, out=tmp_path / "parts", resume=True, seed=2)) == before


def test_an_interrupted_training_resumes_bitwise(models: Any, tmp_path: Path) -> None:
    class Press(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 4 and self.model.optimizer is not None:
                signal.raise_signal(signal.SIGINT)

    settings = {**SETTINGS, "seed": 2, "epochs": 2, "checkpoint_steps": 0}
    data = models.points()
    with pytest.raises(KeyboardInterrupt):
        genloom.train("tests/gan", data, out=tmp_path / "parts", callbacks=[Press()], **settings)
    resumed = genloom.train("tests/gan", data, out=tmp_path / "parts", resume=True, seed=2)
    same(genloom.train("tests/gan", data, out=tmp_path / "whole", **settings), resumed)


def test_steps_raised_within_an_epoch_keep_its_mean(models: Any, tmp_path: Path) -> None:
    settings = {**SETTINGS, "seed": 2, "checkpoint_steps": 0}
    data = models.points()
    whole = genloom.train("tests/vae", data, out=tmp_path / "whole", steps=9, **settings)
    genloom.train("tests/vae", data, out=tmp_path / "parts", steps=5, **settings)
    resumed = genloom.train("tests/vae", data, out=tmp_path / "parts", steps=9, resume=True, seed=2)
    for name in ("model/encoder/0/kernel", "ema/decoder/2/bias"):
        np.testing.assert_array_equal(load_latest(whole)[0][name], load_latest(resumed)[0][name])
    epoch = [line["losses"] for line in lines(resumed) if line["step"] == 9 and line["losses"]]
    assert epoch == [lines(whole)[0]["losses"]]


def test_a_callback_without_state_is_named_once(models: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Silent(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seen = 0

    data = models.points()
    genloom.train("tests/plain", data, out=tmp_path / "run", epochs=1, callbacks=[Silent()], **SETTINGS)
    assert "get_state" not in capfd.readouterr().err
    genloom.train("tests/plain", data, out=tmp_path / "run", epochs=3, resume=True, callbacks=[Silent()])
    assert capfd.readouterr().err.count("Silent keeps counters but has no get_state()") == 1


def test_a_run_is_loaded_from_the_registry_and_another_data_set_is_refused(models: Any, tmp_path: Path) -> None:
    run = genloom.train("tests/gan", models.points(), out=tmp_path / "run", epochs=1, preset="quick", **SETTINGS)
    assert run.config["model"]["options"]["latent"] == 1
    drawn = [genloom.sample(source, 5, seed=1).samples for source in (run, str(run.path), genloom.load(run))]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])
    other = models.Dataset("points", models.SPEC, models.points(100).train, models.points(100).test, "0th3r")
    with pytest.raises(DataError, match=r"The data at 'points' changed .* 0th3r instead of f1d0\. Restore"):
        genloom.train("tests/gan", other, out=run.path, resume=True)
    other = dataclasses.replace(other, address="others")
    with pytest.raises(ConfigError, match=r"was trained on 'points', not on 'others'\. Omit --data to resume"):
        genloom.train("tests/gan", other, out=run.path, resume=True)
    model = genloom.create("tests/gan", models.SPEC)
    given = genloom.train(model, models.points(), out=tmp_path / "g", epochs=1, **SETTINGS)
    with pytest.raises(ConfigError, match="trained on a model object"):
        genloom.load(given)


def test_a_run_whose_checkpoints_are_gone_does_not_begin_again(models: Any, tmp_path: Path) -> None:
    settings = {**SETTINGS, "seed": 2, "epochs": 1, "checkpoint_steps": 0}
    run = genloom.train("tests/plain", models.points(), out=tmp_path / "run", **settings)
    assert run.saved_step == 9
    before = lines(run)
    shutil.rmtree(run.path / "checkpoints")
    for _ in range(2):  # the first attempt leaves the folder there, and empty
        with pytest.raises(RunError, match="has no usable checkpoint") as refused:
            genloom.train("tests/plain", models.points(), out=run.path, seed=2, epochs=2, resume=True)
        assert refused.value.mend
    assert run.saved_step is None and lines(run) == before


def test_a_run_stopped_before_its_first_checkpoint_begins_again(models: Any, tmp_path: Path) -> None:
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                raise RuntimeError("stopped on purpose")

    settings = {**SETTINGS, "seed": 2, "epochs": 1, "checkpoint_steps": 0, "log_every": 1}
    with pytest.raises(RuntimeError, match="stopped on purpose"):
        genloom.train("tests/plain", models.points(), out=tmp_path / "run", callbacks=[Stop()], **settings)
    run = genloom.Run(tmp_path / "run")
    assert run.saved_step is None and run.last_entry["step"] == 3
    resumed = genloom.train("tests/plain", models.points(), out=run.path, seed=2, resume=True)
    same(genloom.train("tests/plain", models.points(), out=tmp_path / "whole", **settings), resumed)


def test_a_run_that_could_not_save_its_end_has_not_finished(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(arrays: Any, file: Path) -> None:
        if "step-00000018" in str(file):
            raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
        safetensors.numpy.save_file(arrays, file)

    settings = {**SETTINGS, "seed": 2, "epochs": 2, "checkpoint_steps": 0}
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_arrays", full)
        with pytest.raises(RunError, match=r"step-00000018' could not be written: No space left") as failed:
            genloom.train("tests/plain", models.points(), out=tmp_path / "run", **settings)
    assert "Free some space" in failed.value.mend
    run = genloom.Run(tmp_path / "run")
    assert (run.status, run.saved_step, run.last_entry["step"]) == ("interrupted", 9, 18)
    resumed = genloom.train("tests/plain", models.points(), out=run.path, seed=2, resume=True)
    same(genloom.train("tests/plain", models.points(), out=tmp_path / "whole", **settings), resumed)
    assert resumed.status == "finished"


def test_what_is_unexpected_of_a_resumed_training_is_said(
    models: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {**SETTINGS, "seed": 2, "schedule": "cosine", "learning_rate": 1e-3}
    run = genloom.train("tests/plain", models.points(), out=tmp_path / "run", epochs=2, **settings)
    assert "schedule" not in capfd.readouterr().err
    genloom.train("tests/plain", models.points(), out=run.path, seed=2, resume=True)
    assert "is finished at step 18" in capfd.readouterr().err
    genloom.train("tests/plain", models.points(), out=run.path, seed=2, epochs=4, resume=True)
    # The last update of 18 has rate ½(1 + cos 17π/18)·10⁻³ = 7.6·10⁻⁶, update 18 of 36 has 5·10⁻⁴.
    said = "the cosine schedule is stretched from 18 to 36 steps: the learning rate goes from 7.6e-06 to 0.0005."
    assert said in capfd.readouterr().err
    genloom.train("tests/plain", models.points(), out=tmp_path / "none", steps=0, batch_size=300, seed=2)
    told = capfd.readouterr().err
    assert "0 steps are planned" in told and "batch_size=300 is more than the 180 training samples" in told
