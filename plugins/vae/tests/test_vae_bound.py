"""The bound against a model whose log-likelihood is known: probabilistic PCA (Tipping and Bishop 1999)."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from genloom import DataSpec
from genloom_vae.model import VAE

LATENT, SIZE, SIGMA = 2, 5, 0.4


def linear(size_in: int, kernel: np.ndarray, bias: np.ndarray) -> keras.Model:
    model = keras.Sequential([keras.Input((size_in,)), keras.layers.Dense(len(bias))])
    model.set_weights([kernel, bias])
    return model


class PPCA:
    """x = W z + b + σ ε: exact posterior and exact log p(x)."""

    def __init__(self, value_range: tuple[float, float] | None = None) -> None:
        rng = np.random.RandomState(3)
        w, self.b = rng.normal(size=(SIZE, LATENT)), rng.normal(size=SIZE)
        precision = w.T @ w / SIGMA**2 + np.eye(LATENT)
        # The rotation that makes the true posterior's covariance diagonal, as q(z|x) is.
        self.w = w @ np.linalg.eigh(precision)[1]
        variance = 1.0 / np.diag(self.w.T @ self.w / SIGMA**2 + np.eye(LATENT))
        gain = (variance[:, None] * self.w.T) / SIGMA**2  # (d, D)
        kernel = np.concatenate([gain.T, np.zeros((SIZE, LATENT))], 1)
        # The encoder's log-variance passes through 10 tanh(·/10); its inverse undoes it.
        bias = np.concatenate([-gain @ self.b, 10 * np.arctanh(np.log(variance) / 10)])
        self.encoder = linear(SIZE, kernel, bias)
        spec = DataSpec((SIZE,), "signal", value_range=value_range)
        decoder = linear(LATENT, self.w.T, self.b)
        self.model = VAE(spec, encoder=self.encoder, decoder=decoder, latent=LATENT, prior="standard")
        floor = self.model.likelihood.floor
        self.model.likelihood.log_sigma.assign(floor + np.log(np.expm1(np.log(SIGMA) - floor)))
        self.covariance = self.w @ self.w.T + SIGMA**2 * np.eye(SIZE)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        return stats.multivariate_normal(self.b, self.covariance).logpdf(x)

    def sample(self, n: int) -> np.ndarray:
        return np.random.RandomState(4).multivariate_normal(self.b, self.covariance, n).astype("float32")


def elbo(model: VAE, x: np.ndarray, draws: int) -> np.ndarray:
    noise = np.random.RandomState(5).normal(size=(draws * len(x), LATENT)).astype("float32")
    terms = model.terms(np.repeat(x, draws, 0), None, ops.array(noise))
    return -ops.convert_to_numpy(terms["reconstruction"] + terms["kl"]).reshape(len(x), draws).mean(1)


def test_the_bound_is_the_exact_likelihood_at_the_true_posterior() -> None:
    ppca = PPCA()
    x = ppca.sample(6)
    np.testing.assert_allclose(elbo(ppca.model, x, 40_000), ppca.log_prob(x), atol=0.03)


def test_importance_sampling_is_exact_at_the_true_posterior_with_one_draw() -> None:
    ppca = PPCA()
    x = ppca.sample(6)
    found = ops.convert_to_numpy(ppca.model.log_prob(x, draws=1))
    np.testing.assert_allclose(found, ppca.log_prob(x), rtol=1e-3)


def test_the_bound_is_below_the_likelihood_at_another_posterior_and_never_falls_with_k() -> None:
    ppca = PPCA()
    x = ppca.sample(200)
    kernel, bias = ppca.encoder.get_weights()
    ppca.encoder.set_weights([kernel, bias + np.r_[0.2, -0.2, 0.8, 0.8]])
    exact = ppca.log_prob(x).mean()
    bounds = [float(np.mean(ops.convert_to_numpy(ppca.model.log_prob(x, draws=k)))) for k in (1, 4, 16, 64)]
    assert bounds[0] < exact - 0.1
    assert bounds == sorted(bounds)
    assert abs(bounds[-1] - exact) < 0.1


def test_log_prob_is_a_density_in_the_units_of_the_data() -> None:
    ppca = PPCA((0.0, 10.0))
    x = ppca.sample(4)
    found = ops.convert_to_numpy(ppca.model.log_prob(5.0 + 5.0 * x, draws=1))
    np.testing.assert_allclose(found, ppca.log_prob(x) - SIZE * np.log(5.0), rtol=1e-3)


def test_loss_is_reconstruction_plus_beta_kl_and_both_are_logged() -> None:
    model = PPCA().model
    model.compile(keras.optimizers.SGD(0.0))
    x = PPCA().sample(32)
    logged = model.fit({"x": x}, batch_size=32, verbose=0).history
    assert logged["loss"][0] == pytest.approx(logged["reconstruction"][0] + logged["kl"][0], rel=1e-5)
    exact = -PPCA().log_prob(x).mean()
    assert logged["loss"][0] == pytest.approx(exact, abs=1.0)
    held_out = model.evaluate({"x": x}, verbose=0, return_dict=True)
    assert held_out["loss"] == pytest.approx(held_out["reconstruction"] + held_out["kl"], rel=1e-5)
