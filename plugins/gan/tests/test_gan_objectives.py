"""Adversarial losses and penalties against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from genloom import objectives

REAL, FAKE = np.array([[2.0], [-1.0]]), np.array([[0.5], [-3.0]])


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


def number(tensor: object) -> float:
    return float(ops.convert_to_numpy(tensor))


EXPECTED = {
    "non-saturating": (softplus(-REAL).mean() + softplus(FAKE).mean(), softplus(-FAKE).mean()),
    "wasserstein": (FAKE.mean() - REAL.mean(), -FAKE.mean()),
    "hinge": ((0 + 2) / 2 + (1.5 + 0) / 2, -FAKE.mean()),
    "relativistic": (softplus(FAKE - REAL).mean(), softplus(REAL - FAKE).mean()),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_losses_match_their_formulas(name: str) -> None:
    assert set(objectives.ADVERSARIAL_LOSSES) == set(EXPECTED)
    found = [number(loss(ops.array(REAL), ops.array(FAKE))) for loss in objectives.ADVERSARIAL_LOSSES[name]]
    np.testing.assert_allclose(found, EXPECTED[name], rtol=1e-5)


def quadratic(x: object) -> object:
    """D(x) = w·x + ½ a ‖x‖², whose gradient is w + a x."""
    flat = ops.reshape(x, (x.shape[0], -1))
    return ops.sum(flat * ops.array([3.0, -4.0], "float32") + 0.5 * 2.0 * flat**2, axis=1, keepdims=True)


def linear(x: object) -> object:
    return ops.sum(ops.reshape(x, (x.shape[0], -1)) * ops.array([3.0, -4.0], "float32"), axis=1, keepdims=True)


def test_gradient_penalty_of_a_linear_critic_is_known() -> None:
    x = ops.array(np.random.RandomState(0).normal(size=(6, 2, 1)), "float32")
    found = objectives.gradient_penalty(linear, x, 3.0 * x, ops.array(np.linspace(0, 1, 6), "float32"))
    assert number(found) == pytest.approx((5.0 - 1.0) ** 2, rel=1e-5)


def test_gradient_penalty_is_taken_between_the_pairs() -> None:
    rng = np.random.RandomState(0)
    real, fake, u = rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), rng.uniform(size=5)
    between = u[:, None] * real + (1 - u[:, None]) * fake
    slopes = np.array([3.0, -4.0]) + 2.0 * between
    expected = ((np.linalg.norm(slopes, axis=1) - 1.0) ** 2).mean()
    arrays = [ops.array(a, "float32") for a in (real, fake, u)]
    assert number(objectives.gradient_penalty(quadratic, *arrays)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("penalty", [objectives.r1_penalty, objectives.r2_penalty])
def test_r1_and_r2_are_half_the_mean_squared_slope(penalty: object) -> None:
    x = np.random.RandomState(1).normal(size=(5, 2))
    expected = 0.5 * ((np.array([3.0, -4.0]) + 2.0 * x) ** 2).sum(1).mean()
    assert number(penalty(quadratic, ops.array(x, "float32"))) == pytest.approx(expected, rel=1e-5)
