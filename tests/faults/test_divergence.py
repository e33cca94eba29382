"""Divergence at any place of the state: what is kept is finite as a whole, and the message says what is kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import genloom
from genloom.errors import RunError
from genloom.model.state import named_variables
from genloom.plugins.discovery import load_file
from genloom.runs import Run, load
from genloom.training.callbacks.finite import not_finite

QUIET = {"sample_every": 0, "progress": "none", "batch_size": 20, "validation": 0.0, "checkpoint_steps": 1, "ema": 0.9}
PLACES = {
    "optimizer/critic/slot-0001": "critic_loss (phase 'critic') diverges",
    "optimizer/generator/slot-0002": "generator_loss (phase 'generator') diverges",
    "ema/generator/0/kernel": "generator_loss (phase 'generator') diverges",
    "model/critic/2/bias": "critic_loss (phase 'critic') diverges",
    "metric/real/total": "",
}


@pytest.fixture(scope="module", autouse=True)
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).parents[1] / "core" / "training_models.py")
    return sys.modules["training_models"]


class Poison(keras.callbacks.Callback):
    """Write a value into one variable of the state after a step."""

    def __init__(self, name: str, step: int, value: float) -> None:
        super().__init__()
        self.name, self.step, self.value = name, step, value

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == self.step - 1:
            self.model.sync_state()
            variable = named_variables(self.model)[self.name]
            variable.assign(np.full(variable.shape, self.value, "float32"))


def kept(run: Run) -> list[str]:
    """Return the names of the checkpoints, each of which must be finite as a whole."""
    for folder in run.checkpoints():
        assert not_finite(load(folder)[0]) == []
    return [folder.name for folder in run.checkpoints()]


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("name", PLACES)
def test_a_state_with_a_value_that_is_not_finite_is_not_kept(
    name: str, value: float, models: Any, tmp_path: Path, count: Callable[[str, int, str], None]
) -> None:
    run = Run(tmp_path / "run")
    callbacks = [Poison(name, 3, value)]
    with pytest.raises(RunError) as caught:
        genloom.train("tests/gan", models.points(), out=run.path, steps=6, callbacks=callbacks, **QUIET)
    said = str(caught.value)
    assert f"not finite at step 3, first {name}" in said
    assert "step-00000002 is kept. Lower the rate" in said
    assert PLACES[name] in said
    assert kept(run) == ["step-00000001", "step-00000002"]
    count(f"{value} in {name.partition('/')[0]}", 1, "not kept, the phase named, earlier checkpoints whole")


@pytest.mark.filterwarnings("ignore:This training step runs eagerly on torch")  # two roundings of 1e30 differ much
@pytest.mark.parametrize(("model", "rate"), [("tests/vae", 1e9), ("tests/vae", 1e30), ("tests/plain", 1e30)])
def test_a_rate_that_diverges_keeps_nothing_that_is_not_finite(
    model: str, rate: float, models: Any, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(RunError) as caught:
        genloom.train(model, models.points(), out=run.path, steps=40, learning_rate=rate, **QUIET)
    names = kept(run)
    said = str(caught.value)
    assert (f"{names[-1]} is kept" if names else "no checkpoint was written yet") in said
    assert "(phase '" in said


def test_a_divergence_before_the_first_checkpoint_keeps_none_and_says_so(models: Any, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    callbacks = [Poison("optimizer/generator/slot-0002", 1, np.inf)]
    with pytest.raises(RunError, match=r"; no checkpoint was written yet\. Lower the rate"):
        genloom.train("tests/gan", models.points(), out=run.path, steps=6, callbacks=callbacks, **QUIET)
    assert kept(run) == []
