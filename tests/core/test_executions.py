"""Several steps in one call of the engine are the same steps, in training and in validation, wherever epochs end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import backend
from genloom.plugins.discovery import load_file
from genloom.runs import load_latest

SETTINGS = {"batch_size": 20, "epochs": 3, "sample_every": 0, "progress": "none", "ema": 0.9, "seed": 4}
# One engine call may sum in another order than several do; torch replays the same graph.
TOLERANCE = 0.0 if backend.name() == "torch" else 2e-6


@pytest.fixture(scope="module")
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).with_name("training_models.py"))
    return sys.modules["training_models"]


class Watch(keras.callbacks.Callback):
    """Notes the batch that each call ends with, counted within the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []
        self.ended: list[int] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.begun.append(batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.ended.append(batch)


@pytest.mark.parametrize("id", ["tests/vae", "tests/wgan"])
def test_a_training_in_executions_is_the_same_training(models: Any, tmp_path: Path, id: str) -> None:
    # Adam would make whole steps of the rounding in gradients that are zero: of a bias before normalisation.
    settings = {**SETTINGS, "schedule": "cosine", "optimizer": "sgd" if id == "tests/wgan" else "adam"}
    data, watch, executions = models.points(), Watch(), {"steps_per_execution": 4, "log_every": 4}
    single = genloom.train(id, data, out=tmp_path / "single", **settings)
    several = genloom.train(id, data, out=tmp_path / "several", callbacks=[watch], **executions, **settings)
    epoch = 9 if id == "tests/vae" else 10  # one holds a tenth out
    ends = [*range(3, epoch, 4), epoch - 1]
    assert watch.ended == ends * 3
    assert watch.begun == [0, *(end + 1 for end in ends[:-1])] * 3
    one, other = load_latest(single)[0], load_latest(several)[0]
    for name, array in one.items():
        if name.startswith(("model/", "ema/", "optimizer/")):
            np.testing.assert_allclose(other[name], array, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)
    losses = [{line["step"]: line["losses"] for line in run.log() if line["losses"]} for run in (single, several)]
    assert set(losses[1]) >= set(losses[0]) | {4, 8, epoch + 4}
    for step, values in losses[0].items():
        assert losses[1][step] == pytest.approx(values, rel=max(TOLERANCE, 1e-6) * 10)


def test_keras_fit_and_evaluate_run_several_steps_too(models: Any) -> None:
    rng = np.random.default_rng(1)
    batches = [{"x": rng.random((20, 4), "float32"), "label": np.zeros(20, "int32")} for _ in range(8)]
    seen = []
    for steps in (1, 4):
        model = genloom.create("tests/vae", models.SPEC, seed=2)
        model.compile(keras.optimizers.SGD(0.1), steps_per_execution=steps)
        history = model.fit(((batch,) for batch in batches), steps_per_epoch=8, shuffle=False, verbose=0)
        evaluated = model.evaluate(((batch,) for batch in batches), steps=8, verbose=0, return_dict=True)
        weights = np.concatenate([ops.convert_to_numpy(v.value).ravel() for v in model.trainable_variables])
        seen.append((weights, history.history["loss"][0], evaluated["loss"], int(model.step.value)))
    (weights, *numbers), (other, *others) = seen
    np.testing.assert_allclose(other, weights, rtol=TOLERANCE, atol=TOLERANCE)
    assert others == pytest.approx(numbers, rel=1e-6)
    assert numbers[-1] == 8
