"""Seeded initial weights: the right distributions, the same on every backend, the caller's own left alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from genloom.model.initializers import draw, reseed
from genloom.model.naming import variable_names

# The first weights at seed 7, as NumPy computed them.
REFERENCE = {
    "0/kernel": [-0.18560108542, 0.30916661024, 0.05411369726],
    "2/kernel": [0.16528177261, 0.19562527537, -0.06862373650],
}


def network():
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3),
            layers.Flatten(),
            layers.Dense(16, kernel_initializer="he_normal"),
            layers.BatchNormalization(),
            layers.Dense(2),
        ]
    )


def values(model):
    return {name: ops.convert_to_numpy(v.value) for name, v in variable_names(model).items()}


def test_same_seed_same_weights_and_another_seed_others():
    first, again, other = network(), network(), network()
    for model, seed in ((first, 7), (again, 7), (other, 8)):
        reseed(model, seed)
    a, b, c = values(first), values(again), values(other)
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    assert np.abs(a["0/kernel"] - c["0/kernel"]).min() > 0


def test_weights_are_the_same_on_every_backend():
    model = network()
    reseed(model, 7)
    found = values(model)
    np.testing.assert_allclose(found["0/kernel"].ravel()[:3], REFERENCE["0/kernel"], atol=1e-6)
    np.testing.assert_allclose(found["2/kernel"].ravel()[:3], REFERENCE["2/kernel"], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        ("glorot_uniform", np.sqrt(2 / (300 + 200))),
        ("glorot_normal", np.sqrt(2 / (300 + 200))),
        ("he_normal", np.sqrt(2 / 300)),
        ("lecun_uniform", np.sqrt(1 / 300)),
        (keras.initializers.RandomNormal(0.0, 0.02), 0.02),
        (keras.initializers.RandomUniform(-0.3, 0.3), 0.3 / np.sqrt(3)),
        (keras.initializers.TruncatedNormal(0.0, 1.0), 0.8796256610),
    ],
)
def test_standard_deviation_is_the_papers(name, deviation):
    """60,000 draws put the sample deviation within 1 % (about three standard errors)."""
    value = draw(keras.initializers.get(name), (300, 200), seed=1, name="kernel")
    assert value.std() == pytest.approx(deviation, rel=0.01)
    assert abs(value.mean()) < 4 * deviation / np.sqrt(value.size)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_orthogonal(shape):
    value = draw(keras.initializers.Orthogonal(gain=2.0), shape, seed=1, name="kernel")
    gram = value.T @ value if shape[0] > shape[1] else value @ value.T
    np.testing.assert_allclose(gram, 4.0 * np.eye(min(shape)), atol=1e-12)


def test_constants_and_kept_networks_stay():
    inner = network()
    before = values(inner)
    outer = keras.Sequential([layers.Input((8, 8, 1)), inner, layers.Dense(3, bias_initializer="ones")])
    reseed(outer, 5, keep=[inner])
    for name, value in values(inner).items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_array_equal(ops.convert_to_numpy(outer.layers[-1].bias.value), np.ones(3))
