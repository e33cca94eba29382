"""Want of memory is one error, with what did not fit and what makes it smaller."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import ops

import genloom
from genloom.data import DataSpec
from genloom.errors import RunError
from genloom.opening.building import instantiate
from genloom.plugins.discovery import load_file
from genloom.plugins.offers import Component

BEYOND = (10**8, 10**8)  # 40 petabytes: more than a process can address


@pytest.fixture(scope="module")
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).with_name("training_models.py"))
    return sys.modules["training_models"]


def test_a_model_that_does_not_fit_is_told(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Huge(models.VAE):
        def __init__(self, *_: Any, **__: Any) -> None:
            ops.zeros(BEYOND)

    monkeypatch.setattr(models, "Huge", Huge, raising=False)
    component = Component("model", "tests/huge", f"{models.__name__}:Huge", "Huge.", options=models.Options)
    with pytest.raises(RunError, match="The model does not fit into memory: ") as failed:
        instantiate(component, DataSpec((4,), kind="signal"), models.Options(), 0, "native", {})
    assert failed.value.mend == "Choose smaller options: genloom show tests/huge lists them."


def test_a_step_that_does_not_fit_is_told_and_what_was_saved_stays(models: Any, tmp_path: Path) -> None:
    class Ask(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 4:
                ops.zeros(BEYOND)

    quiet = {"batch_size": 20, "checkpoint_steps": 2, "sample_every": 0, "progress": "none", "epochs": 1}
    with pytest.raises(RunError, match="A training step does not fit into memory: ") as failed:
        genloom.train("tests/plain", models.points(), out=tmp_path / "run", callbacks=[Ask()], **quiet)
    assert "a smaller batch size" in (failed.value.mend or "")
    assert genloom.Run(tmp_path / "run").saved_step == 4


def test_other_errors_pass(models: Any, tmp_path: Path) -> None:
    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            raise ZeroDivisionError("of the callback")

    quiet = {"batch_size": 20, "sample_every": 0, "progress": "none", "epochs": 1}
    with pytest.raises(ZeroDivisionError, match="of the callback"):
        genloom.train("tests/plain", models.points(), out=tmp_path / "run", callbacks=[Fail()], **quiet)
