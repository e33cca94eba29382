"""A `fit` or `evaluate` that fails leaves the values of the last step that did not; on JAX Keras would leave none."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import genloom
from genloom.backend.interrupts import undisturbed
from genloom.errors import ConfigError
from genloom.model.state import collect
from genloom.plugins.discovery import load_file

Batch = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).with_name("training_models.py"))
    return sys.modules["training_models"]


def made(models: Any) -> Any:
    model = genloom.create("tests/vae", models.SPEC, seed=4, compile=False)
    model.compile(keras.optimizers.Adam(1e-2), ema=0.9)
    return model


def batches(count: int, columns: int = 4) -> list[Batch]:
    x = np.random.default_rng(0).uniform(size=(count, 8, columns)).astype("float32")
    return [{"x": part} for part in x]


def ending(good: Sequence[Batch], error: BaseException) -> Iterator[tuple[Batch]]:
    """Yield good batches, then fail."""
    yield from ((batch,) for batch in good)
    raise error


class Turning(keras.utils.PyDataset):
    """Good batches, then some of another shape: of a data set only the first is looked at, so they reach the step."""

    def __init__(self, good: Sequence[Batch]) -> None:
        super().__init__()
        self.batches = [*good, *batches(4, columns=5)]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Batch]:
        return (self.batches[index],)


class Failing(keras.callbacks.Callback):
    """Raises after so many batches."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.after -= 1
        if not self.after:
            raise RuntimeError("mine")


def weights(model: Any) -> dict[str, np.ndarray]:
    return {name: array for name, array in collect(model).items() if not name.startswith("metric/")}


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize(("how", "steps"), [("shape", 0), ("shape", 4), ("data", 3), ("callback", 4), ("interrupt", 3)])
def test_a_fit_that_fails_leaves_what_the_last_good_step_left(models: Any, how: str, steps: int) -> None:
    """An epoch has three steps, and then a validation."""
    data, expected, model = batches(5), made(models), made(models)
    for batch in data[:steps]:
        expected.fit(Turning([batch]), steps_per_epoch=1, verbose=0, shuffle=False)
    error = {"data": OSError("gone"), "interrupt": KeyboardInterrupt()}.get(how)
    callbacks = [Failing(steps)] if how == "callback" else []
    with pytest.raises((Exception, KeyboardInterrupt)):
        model.fit(
            Turning(data if callbacks else data[:steps]) if error is None else ending(data[:steps], error),
            steps_per_epoch=3,
            epochs=2,
            verbose=0,
            shuffle=False,
            callbacks=callbacks,
            validation_data=data[4],
        )
    same(weights(model), weights(expected))
    assert np.isfinite(genloom.sample(model, 2).samples).all()
    model.fit(Turning(data), steps_per_epoch=3, verbose=0, shuffle=False)


def test_an_evaluation_that_fails_leaves_the_weights(models: Any) -> None:
    model = made(models)
    model.fit(Turning(batches(2)), steps_per_epoch=2, verbose=0, shuffle=False)
    before = weights(model)
    with pytest.raises(Exception, match=r"expected axis -1 of input shape to have value 4"):
        model.evaluate(Turning(batches(1)), steps=2, verbose=0)
    same(weights(model), before)


def test_an_interrupt_waits_until_the_state_of_a_step_is_held() -> None:
    after = []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        signal.raise_signal(signal.SIGINT)
        after.append("the step")
    assert after == ["the step"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(OSError, match="the disk is gone"), undisturbed():
        raise OSError("the disk is gone")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_predict_and_export_are_refused_before_they_empty_the_model(models: Any, tmp_path: Path) -> None:
    model = made(models)
    with pytest.raises(ConfigError, match=r"has no export\(\)\. Ship the run: genloom\.load"):
        model.export(tmp_path / "exported")
    with pytest.raises(ConfigError, match=r"has no predict\(\)\. Draw with genloom\.sample"):
        model.predict(batches(1)[0]["x"], verbose=0)
    assert np.isfinite(genloom.sample(model, 2, seed=1).samples).all()
