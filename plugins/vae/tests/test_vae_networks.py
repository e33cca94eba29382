"""Residual blocks, convolutions over time and the trend beside them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec
from genloom.errors import ConfigError
from genloom.layers import default_groups
from genloom_vae.residual import residual_blocks
from genloom_vae.signals import Trend, lengths

WAVES = DataSpec((13, 2), "signal", value_range=None)


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def test_a_trend_is_numpys_legendre_series() -> None:
    coefficients = np.random.RandomState(0).normal(size=(3, 2 * 4)).astype("float32")
    t = np.linspace(-1, 1, 13)
    by_hand = [[np.polynomial.legendre.legval(t, c) for c in row.reshape(2, 4)] for row in coefficients]
    found = array(Trend(13, 2, 3)(ops.convert_to_tensor(coefficients)))
    np.testing.assert_allclose(found, np.transpose(by_hand, (0, 2, 1)), atol=1e-5)


def test_lengths_halve_and_round_up() -> None:
    assert lengths(13, 3) == [13, 7, 4, 2]
    assert lengths(8, 2) == [8, 4, 2]


def test_signals_of_any_length_are_encoded_and_decoded_and_a_constant_shift_is_the_trends_alone() -> None:
    sizes: dict[str, Any] = {"channels": (4, 6), "hidden": (8,), "latent": 3, "blocks": 1}
    model = genloom.create("vae/conv", WAVES, trend=2, components=2, **sizes)
    x = np.random.RandomState(0).normal(size=(4, 13, 2)).astype("float32")
    z = model.encode(x)
    assert tuple(z.shape) == (4, 3)
    before = array(model.decode(z))
    assert before.shape == x.shape
    dense = [layer for layer in model.decoder.layers if layer.name.startswith("dense")][-1]
    dense.bias.assign(np.array([0.5, 0.0, 0.0, 0.0, 2.0, 0.0], "float32"))  # 0.5 of channel 0; 2 t of channel 1
    moved = array(model.decode(z)) - before
    expected = np.stack([np.full(13, 0.5), 2 * np.linspace(-1, 1, 13)], axis=1)
    np.testing.assert_allclose(moved, np.tile(expected, (4, 1, 1)), atol=1e-5)


def test_a_residual_block_begins_as_the_identity_and_is_he_and_others_by_hand() -> None:
    """With kernels that pass their middle on: x + silu(norm(silu(norm(x)))), norms over groups of channels."""
    inputs = keras.Input((7, 8))
    network = keras.Model(inputs, residual_blocks(1, axes=1)(inputs))
    x = np.random.RandomState(0).normal(size=(2, 7, 8)).astype("float32")
    np.testing.assert_array_equal(array(network(x)), x)
    middle = np.zeros((3, 8, 8), "float32")
    middle[1] = np.eye(8)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv1D):
            layer.kernel.assign(middle)

    def step(y: np.ndarray) -> np.ndarray:
        grouped = y.reshape(2, 7, default_groups(8), -1)
        mean, variance = grouped.mean((1, 3), keepdims=True), grouped.var((1, 3), keepdims=True)
        y = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(y.shape)
        return y / (1 + np.exp(-y))

    np.testing.assert_allclose(array(network(x)), x + step(step(x.astype(float))), atol=1e-3)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (
            DataSpec((7,), "signal", value_range=None),
            {},
            r"Convolutions need images .* or signals .*\(7,\)",
        ),
        (DataSpec((6, 6, 1)), {"trend": 1}, r"trend=1 is of signals, the data are images"),
    ],
)
def test_data_that_convolutions_cannot_take_are_refused(spec: DataSpec, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        genloom.create("vae/conv", spec, latent=2, **options)


@pytest.mark.quality
def test_a_signal_with_a_trend_is_learned_better_with_one() -> None:
    """Lines of random slope and height: with a trend the decoder is exact, without one it bends."""
    rng, t = np.random.RandomState(0), np.linspace(-1, 1, 24)
    x = (rng.normal(size=(512, 1)) + rng.normal(size=(512, 1)) * t)[..., None].astype("float32")
    errors = []
    for trend in (1, 0):
        spec = DataSpec((24, 1), "signal", value_range=None)
        sizes: dict[str, Any] = {"channels": (4, 4), "hidden": (16,), "latent": 2, "prior": "standard"}
        model = genloom.create("vae/conv", spec, trend=trend, learning_rate=5e-3, **sizes)
        model.compile()
        model.fit({"x": x}, batch_size=64, epochs=12, verbose=0)
        errors.append(np.square(array(model.decode(model.encode(x))) - x).mean())
    assert errors[0] < 0.7 * errors[1]
