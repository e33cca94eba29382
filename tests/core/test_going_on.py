"""What a person is told to do with a run that stopped: only what works."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import genloom
from genloom.data import open as open_data
from genloom.errors import ConfigError, RunError
from genloom.plugins.discovery import load_file
from genloom.runs import Run, checkpoint, create_run, load_latest, save
from genloom.runs.going_on import way_on

PLUGIN = Path(__file__).with_name("training_models.py")
SETTINGS: dict[str, Any] = {"batch_size": 250, "sample_every": 0, "progress": "none"}
DATA = "toy:8-ring?n=1000"


@pytest.fixture(scope="module")
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(PLUGIN)
    return sys.modules["training_models"]


def full_from(checkpoint_number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk be full when a checkpoint of this number is written, and all later ones."""
    written = []

    def write(stored: Any, file: Path) -> None:
        written.append(file)
        if len(written) >= checkpoint_number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(stored, file)

    real = checkpoint.write_arrays
    monkeypatch.setattr(checkpoint, "write_arrays", write)


def train(out: Path, **asked: Any) -> Run:
    run: Run = genloom.train("tests/plain", asked.pop("data", DATA), out=out, **{**SETTINGS, "epochs": 2, **asked})
    return run


@pytest.mark.any_engine
def test_a_disk_full_before_the_first_checkpoint_says_how_to_begin_again(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    with monkeypatch.context() as full:
        full_from(1, full)
        with pytest.raises(RunError, match="No space left on device") as failed:
            train(path)
    begin_again = f"To begin again: genloom -p {PLUGIN} train --resume --out {path}"
    assert failed.value.mend == f"Free some space, then try again. {begin_again}"
    with pytest.raises(ConfigError) as taken:
        train(path)
    assert taken.value.mend == f"Choose another --out. {begin_again}"
    assert train(path, resume=True).status == "finished"


@pytest.mark.any_engine
def test_a_disk_full_later_says_how_to_resume(models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run"
    with monkeypatch.context() as full:
        full_from(2, full)
        with pytest.raises(RunError) as failed:
            train(path)
    command = f"genloom -p {PLUGIN} train --resume --out {path}"
    assert failed.value.mend == f"Free some space, then try again. To go on: {command}"
    assert train(path, resume=True).status == "finished"
    assert way_on(Run(path)) == f"To go on: {command} --epochs N"


def test_a_training_on_arrays_goes_on_in_python(models: Any, tmp_path: Path) -> None:
    x = open_data(DATA).train.take(np.arange(500))["x"]
    train(tmp_path / "run", data=x, epochs=1)
    assert way_on(Run(tmp_path / "run")) == (
        f"To go on in Python: genloom.train(model, data, out={str(tmp_path / 'run')!r}, resume=True)."
    )
    assert train(tmp_path / "run", data=x, epochs=2, resume=True).status == "finished"


@pytest.mark.any_engine
def test_weights_from_elsewhere_are_not_gone_on_with(tmp_path: Path) -> None:
    adopted = create_run(tmp_path / "run")
    adopted.write_config({"model": {"id": "a"}, "data": {"spec": {}}})
    save(adopted, 0, {"w": np.zeros(3)})
    with pytest.raises(ConfigError) as taken:
        create_run(tmp_path / "run")
    assert taken.value.mend == "Choose another --out. Nothing here can be resumed."


@pytest.mark.parametrize(("within", "told"), [(0, "nothing was saved"), (1, "what came after step 3 is lost")])
def test_a_second_interrupt_says_what_is_lost(
    models: Any, tmp_path: Path, within: int, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    class PressTwice(keras.callbacks.Callback):
        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if (self.epoch, batch) == (within, 1):
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", callbacks=[PressTwice()])
    (line,) = (line for line in capfd.readouterr().err.splitlines() if line.startswith("Stopped at once"))
    aim = "go on" if within else "begin again"
    assert line == f"Stopped at once: {told}. To {aim}: genloom -p {PLUGIN} train --resume --out {tmp_path / 'run'}"


def test_a_kill_between_the_first_line_of_the_log_and_its_checkpoint_begins_anew(models: Any, tmp_path: Path) -> None:
    settings = {"batch_size": 20, "sample_every": 0, "progress": "none", "epochs": 2}
    whole = genloom.train("tests/plain", models.points(), out=tmp_path / "whole", **settings)
    killed = create_run(tmp_path / "killed")
    (killed.path / "run.toml").write_bytes((whole.path / "run.toml").read_bytes())
    (killed.path / "log.jsonl").write_bytes((whole.path / "log.jsonl").read_bytes().splitlines(keepends=True)[0])
    assert killed.last_entry["step"] == 9
    resumed = genloom.train("tests/plain", models.points(), out=killed.path, resume=True)
    one, two = load_latest(whole)[0], load_latest(resumed)[0]
    assert [name for name in one if one[name].tobytes() != two[name].tobytes()] == []
    for folder in whole.checkpoints():
        shutil.rmtree(folder)
    with pytest.raises(RunError, match=r"checkpoint"):
        genloom.train("tests/plain", models.points(), out=whole.path, resume=True)


@pytest.mark.any_engine
def test_a_misspelled_run_is_not_begun(models: Any, tmp_path: Path) -> None:
    train(tmp_path / "circle", epochs=1)
    with pytest.raises(ConfigError) as absent:
        train(tmp_path / "circel", resume=True)
    named, near = str(tmp_path / "circel"), str(tmp_path / "circle")
    assert absent.value.message == f"{named!r} is not a run: nothing is there. Did you mean {near!r}?"
    assert not (tmp_path / "circel").exists()


@pytest.mark.any_engine
def test_a_run_that_was_killed_before_it_wrote_anything_begins(models: Any, tmp_path: Path, capfd: Any) -> None:
    create_run(tmp_path / "run")
    assert train(tmp_path / "run", resume=True).status == "finished"
    assert f"{str(tmp_path / 'run')!r} holds nothing yet: the run begins." in capfd.readouterr().err


@pytest.mark.any_engine
def test_of_several_seeds_those_that_were_not_reached_begin(models: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="parts-seed1' is not a run"):
        train(tmp_path / "parts", seeds=[1, 2], resume=True)
    train(tmp_path / "parts", seeds=[1])
    runs = genloom.train("tests/plain", DATA, seeds=[1, 2], out=tmp_path / "parts", resume=True, **SETTINGS, epochs=2)
    assert [run.status for run in runs] == ["finished", "finished"]


@pytest.mark.any_engine
def test_a_run_knows_its_data(models: Any, tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    on = genloom.train("tests/plain", out=run.path, epochs=3, resume=True)
    assert on.config["data"]["address"] == run.config["data"]["address"]
    assert on.last_entry["epoch"] == 3
