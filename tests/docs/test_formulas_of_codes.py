"""What docs/formulas.md states of discrete codes and of the KL-autoencoder, as numbers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from keras import ops

import genloom
from genloom_vae.autoencoder import balanced
from genloom_vae.quantizers import FiniteScalars, NearestVectors

RNG = np.random.default_rng(0)


def array(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype("float32")


def number(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def test_finite_scalars_of_odd_levels_are_the_papers() -> None:
    z = 2.0 * array(50, 2)
    quantizer = FiniteScalars((5, 7))
    found = number(quantizer.vectors(quantizer.digits(ops.convert_to_tensor(z))))
    np.testing.assert_allclose(found, np.round(np.array([2, 3]) * np.tanh(z)) / np.array([2, 3]), atol=1e-6)


def test_averages_of_codes_have_the_mean_as_their_fixed_point() -> None:
    quantizer = NearestVectors(2, 1, decay=0.9, restart=0.0)
    quantizer.table.assign([[-1.0], [1.0]])
    z = ops.convert_to_tensor(np.array([[-3.0], [-2.0], [4.0]], "float32"))
    for _ in range(3):
        quantizer.learn(z, ops.zeros((2,)))
        np.testing.assert_allclose(number(quantizer.table.value), [[-2.5], [4.0]], rtol=1e-5)


def test_a_description_by_codes_is_a_bound() -> None:
    spec = genloom.DataSpec((2, 2, 1), levels=2)
    small = {"channels": (4,), "levels": (3, 2), "prior_width": 8, "prior_heads": 2, "likelihood": "categorical"}
    model = genloom.create("vae/fsq", spec, **small)
    every = np.array(list(itertools.product([0.0, 1.0], repeat=4)), "float32").reshape(16, 2, 2, 1)
    total = np.exp(number(model.log_prob(every))).sum()
    assert 0.0 < total <= 1.0


def test_the_critics_weight_balances_two_gradients() -> None:
    n, d, w = 4, 6, array(6)
    push, pull = np.sign(array(n, d)) / (n * d), -np.tile(w, (n, 1)) / n
    found = number(balanced(ops.convert_to_tensor(push), ops.convert_to_tensor(pull)))
    np.testing.assert_allclose(found, 1.0 / (np.linalg.norm(w) * math.sqrt(d)), rtol=1e-4)
