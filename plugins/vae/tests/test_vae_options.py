"""What an option away from its default changes, as a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec

SPEC = DataSpec((4, 4, 1))
X = np.random.RandomState(0).uniform(size=(6, 4, 4, 1)).astype("float32")


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


@pytest.mark.parametrize("beta", [0.0, 0.25, 4.0])
@pytest.mark.parametrize("id", ["vae/mlp", "vae/conv"])
def test_beta_weighs_the_kl_term_and_nothing_else(id: str, beta: float) -> None:
    """β-VAE (Higgins et al. 2017, eq. 4), in training and on held-out data."""
    options: dict[str, Any] = {"latent": 3, "hidden": (8,)} | ({"channels": (4,)} if id == "vae/conv" else {})
    weighed, plain = (genloom.create(id, SPEC, noise="portable", beta=b, **options) for b in (beta, 1.0))
    x = ops.convert_to_tensor(X)
    (loss, terms, _), (_, expected, _) = weighed.loss_of({"x": x}), plain.loss_of({"x": x})
    reconstruction, kl = (float(array(expected[name])) for name in ("reconstruction", "kl"))
    assert kl > 0.1
    np.testing.assert_allclose([array(terms[name]) for name in ("reconstruction", "kl")], [reconstruction, kl], 1e-6)
    np.testing.assert_allclose(array(loss), reconstruction + beta * kl, rtol=1e-5)
    held = {name: array(value) for name, value in weighed.validate({"x": x, "index": ops.arange(6)}).items()}
    np.testing.assert_allclose(held["loss"], held["reconstruction"] + beta * held["kl"], rtol=1e-5)


def test_bernoulli_reconstruction_is_the_cross_entropy_of_the_logits() -> None:
    model = genloom.create("vae/mlp", SPEC, latent=3, hidden=(8,), likelihood="bernoulli")
    reconstruction = model.terms(ops.convert_to_tensor(X), None, ops.zeros((6, 3)))["reconstruction"]
    logits = array(model.decoder(model.infer(ops.convert_to_tensor(2 * X - 1), None).mean))
    by_hand = (X * np.logaddexp(0, -logits) + (1 - X) * np.logaddexp(0, logits)).sum((1, 2, 3))
    np.testing.assert_allclose(array(reconstruction), by_hand, rtol=1e-5)
