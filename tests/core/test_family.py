"""What families share: labels, units, options asked for while drawing, networks of the family or of the caller."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
from keras import ops

from genloom import DataSpec, GenerativeModel, Preset, option
from genloom.errors import ConfigError
from genloom.layers import Convolutions, ResidualMLP, sides
from genloom.model.networks import Inputs, run_network

RANGED = DataSpec((2, 2, 1), value_range=(0.0, 255.0), classes=3, condition=("label",))


@dataclasses.dataclass(frozen=True)
class Options:
    width: int = option(2, "units", minimum=1)
    steps: int = option(4, "steps", minimum=1)


def dense(spec: DataSpec, options: Options, classes: int) -> keras.Model:
    inputs = Inputs(spec.shape, classes)
    x = inputs.with_labels(keras.layers.Flatten()(inputs.x))
    return inputs.network(keras.layers.Dense(options.width, use_bias=False)(x), "code")


class Coder(GenerativeModel):
    Options = Options
    own_networks: ClassVar = {"code": dense}


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def test_labels_are_class_numbers_or_rows_and_missed_where_they_are_needed() -> None:
    model = Coder(RANGED)
    assert array(model.labels_of({"label": [2.0, 0.0]})).tolist() == [2, 0]
    assert array(model.one_hot_of({"label": np.array([2, 3])})).tolist() == [[0, 0, 1], [0, 0, 0]]
    with pytest.raises(ConfigError, match="conditional and got no labels"):
        model.labels_of({"x": 1})
    model.conditional = False
    assert model.labels_of({}) is None and model.one_hot_of({"label": None}) is None
    assert Coder(DataSpec((2,), "signal")).one_hot_of({"label": [1]}) is None, "the data have no classes"


def test_samples_come_back_in_their_units_range_and_shape() -> None:
    model, x = Coder(RANGED), np.array([0.0, 51.0, 127.5, 255.0]).reshape(1, 2, 2, 1)
    normalised = model.normalised(x)
    assert keras.backend.standardize_dtype(normalised.dtype) == keras.config.floatx()
    np.testing.assert_allclose(array(normalised).ravel(), [-1.0, -0.6, 0.0, 1.0], atol=1e-6)
    flat = ops.convert_to_tensor(np.array([[-3.0, -0.6, 0.0, 1.5]], "float32"))
    np.testing.assert_allclose(array(model.denormalised(flat)), x, atol=1e-4)
    free = Coder(DataSpec((2, 2), "signal", value_range=None))
    np.testing.assert_array_equal(array(free.denormalised(flat)), array(flat).reshape(1, 2, 2))


def test_what_is_asked_for_stands_in_the_place_of_options() -> None:
    model = Coder(RANGED, width=5)
    assert model.options_with(steps=None) == model.options
    assert model.options_with(steps=9) == Options(width=5, steps=9)
    with pytest.raises(ConfigError, match="'steps' must be at least 1"):
        model.options_with(steps=0)


def test_a_network_is_the_callers_or_else_the_familys() -> None:
    model, given = Coder(RANGED), keras.layers.Flatten()
    own = model.network_of("code", None, [RANGED.shape], (2,), 3)
    assert [tuple(part.shape) for part in own.inputs] == [(None, 2, 2, 1), (None, 3)]
    assert model.network_of("code", given, [RANGED.shape], (4,), 3) is given
    with pytest.raises(ConfigError, match=r"code must map \(2, 2, 1\) to \(5,\).*; it returns \(4,\)"):
        model.network_of("code", given, [RANGED.shape], (5,), 3)
    wide = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ConfigError, match=r"map \(1,\) to \(2,\).*it was made for \(4,\)"):
        model.network_of("code", wide, [(1,)], (2,), 3)
    inputs = [keras.Input((2,)), keras.Input((1,), dtype="int32")]
    numbered = keras.Model(inputs, keras.layers.Add()([inputs[0], keras.layers.Embedding(3, 2)(inputs[1])[:, 0]]))
    with pytest.raises(ConfigError, match=r"map \(2,\) and one-hot labels \(3,\) to .* it was made for \(1,\)"):
        model.network_of("code", numbered, [(2,)], (2,), 3)
    with pytest.raises(ConfigError, match=r"Coder has no critic of its own\. Pass critic=\."):
        model.network_of("critic", None, [RANGED.shape], (1,), 3)


def test_a_network_is_called_with_its_inputs_and_with_labels_if_it_takes_them() -> None:
    inputs = Inputs((2,), 2)
    both = inputs.network(keras.layers.Add()([inputs.x, inputs.labels]), "both")
    x, labels = ops.ones((1, 2)), ops.convert_to_tensor(np.array([[0.0, 1.0]], "float32"))
    assert array(run_network(both, x, labels=labels)).tolist() == [[1.0, 2.0]]
    assert array(run_network(both, x, labels)).tolist() == [[1.0, 2.0]], "the second input, whatever it is"
    assert array(run_network(keras.layers.Identity(), x, labels=labels)).tolist() == [[1.0, 1.0]]
    with pytest.raises(ConfigError, match="takes labels and got none"):
        run_network(both, x)


def test_images_of_odd_sides_shrink_and_grow_to_their_size() -> None:
    assert sides((7, 5, 3), 2) == [(7, 5), (4, 3), (2, 2)]
    inputs, convolutions, seen = Inputs((7, 5, 3)), Convolutions("silu"), []

    def after(x: Any, level: int) -> Any:
        seen.append(level)
        return x

    features = convolutions.shrink(inputs.x, (4, 6), after)
    images = convolutions.grow(features, (7, 5, 3), (4, 6), last="tanh")
    assert (features.shape, images.shape, seen) == ((None, 2 * 2 * 6), (None, 7, 5, 3), [0, 1])
    assert np.abs(array(inputs.network(images, "both")(50.0 * ops.ones((1, 7, 5, 3))))).max() <= 1.0


def test_a_residual_mlp_sees_its_time_and_label() -> None:
    network = ResidualMLP((3, 2), width=8, depth=1, classes=2)
    network.head.kernel.assign(np.ones((8, 6)))
    x = ops.zeros((1, 3, 2))

    def output(t: float, label: int) -> np.ndarray:
        return array(network(x, ops.full((1,), t), ops.full((1,), label, dtype="int32")))

    assert output(0.0, 0).shape == (1, 3, 2)
    assert np.abs(output(0.0, 0) - output(0.0, 1)).max() > 1e-4 < np.abs(output(0.0, 0) - output(1.0, 0)).max()
    again = ResidualMLP.from_config(network.get_config())
    assert [w.shape for w in again.weights] == [w.shape for w in network.weights]


def test_a_short_preset_writes_seldom_and_its_own_settings_win() -> None:
    preset = Preset.short({"width": 3}, every=25, epochs=75, ema=0.9)
    assert preset.options == {"width": 3}
    assert preset.training == {
        "batch_size": 64, "ema": 0.9, "epochs": 75,
        "checkpoint_every": 25, "sample_every": 25, "validate_every": 25,
    }  # fmt: skip
