"""State out and back in: names, errors before anything moves, counters of callbacks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom.errors import ConfigError, RunError
from genloom.model.state import collect, restore, restore_weights
from genloom.plugins.discovery import load_file
from genloom.training.callback_state import gather, scatter, without_state


@pytest.fixture(scope="module")
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).with_name("training_models.py"))
    return sys.modules["training_models"]


@pytest.fixture(scope="module")
def gan(models: Any) -> Any:
    model = genloom.create("tests/gan", models.SPEC, seed=1)
    model.compile(ema=0.9)
    return model


def test_names_are_paths_phases_and_slots(gan: Any) -> None:
    names = set(collect(gan))
    for name in (
        "model/generator/0/kernel",
        "ema/generator/0/kernel",
        "optimizer/critic/learning_rate",
        "optimizer/critic/iterations",
        "optimizer/generator/slot-0000",
        "counter/step",
        "counter/updates",
        "metric/critic_loss/total",
    ):
        assert name in names
    slots = [name for name in names if name.startswith("optimizer/critic/slot")]
    assert len(slots) == 2 * len(gan.critic.trainable_variables)


def test_a_state_goes_into_another_model_whole(models: Any, gan: Any) -> None:
    other = genloom.create("tests/gan", models.SPEC, seed=2)
    other.compile(ema=0.9)
    arrays = {name: array + np.ones((), array.dtype) for name, array in collect(gan).items()}
    restore(other, arrays)
    back = collect(other)
    for name, array in arrays.items():
        if not name.startswith("metric/"):
            np.testing.assert_array_equal(back[name], array, err_msg=name)


def test_a_checkpoint_from_before_statistics_were_averaged_begins_their_average(models: Any, capsys: Any) -> None:
    model, other = (genloom.create("tests/wgan", models.SPEC, seed=seed) for seed in (1, 2))
    for one in (model, other):
        one.compile(ema=0.9)
    model.fit({"x": np.random.default_rng(0).uniform(size=(16, 4)).astype("float32")}, batch_size=16, verbose=0)
    arrays = collect(model)
    moments = [f"generator/1/moving_{name}" for name in ("mean", "variance")]
    for name in moments:
        del arrays[f"ema/{name}"]
    restore(other, arrays)
    assert "no average of 2 statistics" in capsys.readouterr().err
    back = collect(other)
    for name in moments:
        np.testing.assert_array_equal(back[f"ema/{name}"], arrays[f"model/{name}"])
    del arrays["ema/generator/0/kernel"]
    with pytest.raises(RunError, match="lacks 'ema/generator/0/kernel'"):
        restore(other, arrays)


def test_a_copy_does_not_move_with_the_variable(gan: Any) -> None:
    before = collect(gan)["model/critic/0/bias"]
    variable = gan.critic.layers[0].bias
    variable.assign(variable + 1.0)
    assert np.abs(collect(gan)["model/critic/0/bias"] - before).min() == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("model/critic/0/kernel"), "lacks 'model/critic/0/kernel'"),
        (lambda a: a.update({"model/critic/0/kernell": np.zeros(1)}), "Did you mean 'model/critic/0/kernel'"),
        (lambda a: a.update({"model/generator/2/bias": np.zeros(9)}), r"has shape \(9,\)"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_moves(models: Any, gan: Any, change: Any, message: str) -> None:
    other = genloom.create("tests/gan", models.SPEC, seed=2)
    other.compile(ema=0.9)
    start, arrays = collect(other), collect(gan)
    change(arrays)
    with pytest.raises(RunError, match=message):
        restore(other, arrays)
    for name, array in collect(other).items():
        np.testing.assert_array_equal(array, start[name])


def test_weights_alone_prefer_the_average(models: Any, gan: Any) -> None:
    arrays = collect(gan)
    arrays["ema/critic/0/kernel"] = np.full_like(arrays["ema/critic/0/kernel"], 3.0)
    for averaged, expected in ((True, 3.0), (False, arrays["model/critic/0/kernel"])):
        other = genloom.create("tests/gan", models.SPEC, seed=2, compile=False)
        restore_weights(other, arrays, averaged=averaged)
        kernel = ops.convert_to_numpy(other.critic.layers[0].kernel)
        np.testing.assert_array_equal(kernel, np.broadcast_to(expected, kernel.shape))


def test_counters_that_keras_forgets_are_carried() -> None:
    early, plateau = keras.callbacks.EarlyStopping("loss"), keras.callbacks.ReduceLROnPlateau("loss")
    early.wait, early.best, early.best_weights = 2, 0.25, [np.arange(3.0), np.zeros((1, 2))]
    plateau.wait, plateau.best, plateau.cooldown_counter = 1, 0.5, 4
    arrays = gather([early, plateau])
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    fresh = [keras.callbacks.EarlyStopping("loss"), keras.callbacks.ReduceLROnPlateau("loss")]
    scatter(fresh, arrays)
    assert (fresh[0].wait, fresh[0].best) == (2, 0.25)
    np.testing.assert_array_equal(fresh[0].best_weights[0], np.arange(3.0))
    assert (fresh[1].wait, fresh[1].best, fresh[1].cooldown_counter) == (1, 0.5, 4)


def test_counters_are_found_whatever_stands_before_them() -> None:
    """A callback of one's own that only the first part of a training had moves all others by a place."""
    early, plateau = keras.callbacks.EarlyStopping("loss"), keras.callbacks.ReduceLROnPlateau("loss")
    plateau.wait, plateau.best, early.wait = 3, 0.5, 2
    arrays = gather([early, plateau])
    fresh = keras.callbacks.ReduceLROnPlateau("loss")
    scatter([fresh], arrays)
    assert (fresh.wait, fresh.best) == (3, 0.5)
    from_before = {name.replace("0-Reduce", "7-Reduce"): array for name, array in arrays.items()}  # numbered by place
    again, two = keras.callbacks.ReduceLROnPlateau("loss"), [keras.callbacks.EarlyStopping("loss") for _ in range(2)]
    scatter([*two, again], from_before)
    assert (again.wait, [each.wait for each in two]) == (3, [2, 0])


def test_callbacks_of_ones_own_say_their_state_or_are_named() -> None:
    class Silent(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

    class Speaking(Silent):
        def get_state(self) -> dict[str, Any]:
            return {"count": self.count}

        def set_state(self, state: dict[str, Any]) -> None:
            self.count = state["count"]

    first, second = Speaking(), Speaking()
    first.count = 5
    scatter([second], gather([first]))
    assert second.count == 5
    plain = keras.callbacks.Callback()
    assert without_state([Silent(), second, plain, keras.callbacks.EarlyStopping("loss")]) == ["Silent"]


@pytest.mark.any_engine
def test_a_run_is_not_resumed_to_less_than_it_has(models: Any, tmp_path: Path) -> None:
    """One that has finished stays as it is; one that was cut off says where it is."""
    asked = {"sample_every": 0, "progress": "none", "batch_size": 20}
    run = genloom.train("tests/plain", models.points(), epochs=2, out=tmp_path / "run", **asked)
    stated, logged = (run.path / "run.toml").read_bytes(), (run.path / "log.jsonl").read_bytes()
    for less in ({"epochs": 1}, {"steps": 1}):
        genloom.train("tests/plain", models.points(), out=run.path, resume=True, **less, **asked)
        assert (run.path / "run.toml").read_bytes() == stated
        assert (run.path / "log.jsonl").read_bytes() == logged
    lines = logged.splitlines(keepends=True)
    (run.path / "log.jsonl").write_bytes(b"".join(line for line in lines if b'"finished"' not in line))
    with pytest.raises(ConfigError, match=r"Cannot resume to 1 steps: .* is at step"):
        genloom.train("tests/plain", models.points(), out=run.path, resume=True, steps=1, **asked)
    assert (run.path / "run.toml").read_bytes() == stated
