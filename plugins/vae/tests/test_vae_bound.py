"""The bound against a model whose log-likelihood is known: probabilistic PCA (Tipping and Bishop 1999)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from genloom import DataSpec, backend
from genloom_vae.importance import IWAE
from genloom_vae.model import VAE

LATENT, SIZE, SIGMA = 2, 5, 0.4


def linear(size_in: int, kernel: np.ndarray, bias: np.ndarray) -> keras.Model:
    model = keras.Sequential([keras.Input((size_in,)), keras.layers.Dense(len(bias))])
    model.set_weights([kernel, bias])
    return model


class PPCA:
    """x = W z + b + σ ε: exact posterior and exact log p(x)."""

    def __init__(self, value_range: tuple[float, float] | None = None, family: type[VAE] = VAE, **options: Any) -> None:
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
        self.model = family(spec, encoder=self.encoder, decoder=decoder, latent=LATENT, prior="standard", **options)
        floor = self.model.likelihood.floor
        self.model.likelihood.log_sigma.assign(floor + np.log(np.expm1(np.log(SIGMA) - floor)))
        self.covariance = self.w @ self.w.T + SIGMA**2 * np.eye(SIZE)

    def worsen(self) -> None:
        """Move the encoder away from the true posterior."""
        kernel, bias = self.encoder.get_weights()
        self.encoder.set_weights([kernel, bias + np.r_[0.2, -0.2, 0.8, 0.8]])

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
    ppca.worsen()
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


def number(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), np.float64)


def held_out(model: VAE, x: np.ndarray) -> float:
    batch = {"x": ops.convert_to_tensor(x), "index": ops.arange(len(x), dtype="int32")}
    return float(number(model.validate(batch)["loss"]).mean())


def test_a_trained_linear_model_is_probabilistic_pca() -> None:
    """Its exact likelihood comes within .01 nat per dimension of the best there is (Tipping and Bishop 1999, eq. 7)."""
    x = PPCA().sample(2000)
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
    sigma = values[LATENT:].mean()
    best = -0.5 * (np.log(values[:LATENT]).sum() + (SIZE - LATENT) * np.log(sigma) + SIZE * (1 + np.log(2 * np.pi)))
    networks = {
        "encoder": linear(SIZE, np.full((SIZE, 2 * LATENT), 0.1), np.zeros(2 * LATENT)),
        "decoder": linear(LATENT, np.random.RandomState(0).normal(size=(LATENT, SIZE)), np.zeros(SIZE)),
    }
    model = VAE(DataSpec((SIZE,), "signal", value_range=None), latent=LATENT, prior="standard", **networks)
    for rate, epochs in ((0.02, 60), (0.002, 25)):
        model.compile(keras.optimizers.Adam(rate), ema=0.98)
        model.fit({"x": x}, batch_size=200, epochs=epochs, verbose=0)
    with model.averaged_weights():
        kernel, bias = (number(w) for w in model.decoder.weights)
        variance = np.exp(2 * number(model.likelihood.bounded_log_sigma()))
    exact = stats.multivariate_normal(bias, kernel.T @ kernel + variance * np.eye(SIZE)).logpdf(x).mean()
    assert exact <= best + 1e-6
    assert (best - exact) / SIZE < 0.01


def test_the_importance_weighted_loss_is_exact_at_the_true_posterior_and_never_rises_with_k() -> None:
    exact = PPCA(family=IWAE, draws=4)
    x = exact.sample(200)
    np.testing.assert_allclose(-held_out(exact.model, x), exact.log_prob(x).mean(), rtol=1e-3)
    found = []
    for draws in (1, 4, 32):
        worse = PPCA(family=IWAE, draws=draws)
        worse.worsen()
        found.append(held_out(worse.model, x))
    assert found[0] > found[1] + 0.1 > found[2] + 0.2
    assert found[2] == pytest.approx(-exact.log_prob(x).mean(), abs=0.05)


def losses(bound: str, x: np.ndarray, **options: Any) -> list[float]:
    """The phases' losses of a worsened model, at the same draws of z."""
    ppca = PPCA(family=IWAE, bound=bound, draws=6, noise="portable", **options)
    ppca.worsen()
    batch = {"x": ops.convert_to_tensor(x)}
    found = []
    for phase in ppca.model.phases():
        ppca.model._aside.draws = 0
        found.append(float(number(phase.loss(batch)[0])))
    return found


def test_mixed_and_partial_bounds_lie_between_the_elbo_and_the_bound_of_all_draws() -> None:
    x = PPCA().sample(50)
    (iwae,), (elbo_alone,) = losses("iwae", x), losses("ciwae", x, elbo_share=1.0)
    assert elbo_alone > iwae + 0.1
    assert losses("ciwae", x, elbo_share=0.25)[0] == pytest.approx(0.25 * elbo_alone + 0.75 * iwae, rel=1e-5)
    assert losses("piwae", x, groups=6) == pytest.approx([elbo_alone, iwae], rel=1e-5), "one draw in each: the ELBO"
    assert losses("piwae", x, groups=1) == pytest.approx([iwae, iwae], rel=1e-5)
    assert iwae < losses("piwae", x, groups=2)[0] < elbo_alone


def encoder_gradients(gradient: str, x: np.ndarray, repeats: int) -> np.ndarray:
    """Gradients of the encoder's and the decoder's bias, over fresh noise (repeats, 4 + 5)."""
    ppca = PPCA(family=IWAE, draws=8, gradient=gradient, noise="portable")
    ppca.worsen()
    moved = [ppca.encoder.weights[1], ppca.model.decoder.weights[1]]
    batch, found = {"x": ops.convert_to_tensor(x)}, []

    def loss() -> tuple[Any, Any]:
        return ppca.model.loss_of(batch)[0], ()

    for _ in range(repeats):
        found.append(np.concatenate([number(g) for g in backend.value_and_grad(loss, moved)[1]]))
    return np.array(found)


def test_the_doubly_reparameterised_gradient_is_the_same_in_the_mean_and_varies_less() -> None:
    x = PPCA().sample(400)
    plain, doubly = (encoder_gradients(gradient, x, 8) for gradient in ("plain", "dreg"))
    spread = np.sqrt((plain.var(0) + doubly.var(0)) / 8)
    assert (np.abs(plain.mean(0) - doubly.mean(0)) < 4.5 * spread + 1e-4).all()
    assert np.abs(plain.mean(0)[:4]).max() > 5 * spread[:4].max()
    assert doubly.var(0)[:4].sum() < plain.var(0)[:4].sum(), "of the encoder"


def test_missing_values_are_filled_with_their_conditional_mean() -> None:
    """E[x_m|x_o] of a Gaussian: the weights correct an encoder that sees zeros there, if only q is wide enough."""
    ppca = PPCA()
    kernel, bias = ppca.encoder.get_weights()
    ppca.encoder.set_weights([kernel, np.r_[bias[:LATENT], [10 * np.arctanh(np.log(4.0) / 10)] * LATENT]])
    x = ppca.sample(8)
    x[:, 1], x[4:, 3] = np.nan, np.nan
    found = number(ppca.model.impute(x, draws=20_000))
    expected = x.astype(np.float64)
    for row in expected:
        gone, known = np.isnan(row), ~np.isnan(row)
        gain = ppca.covariance[np.ix_(gone, known)] @ np.linalg.inv(ppca.covariance[np.ix_(known, known)])
        row[gone] = ppca.b[gone] + gain @ (row[known] - ppca.b[known])
    np.testing.assert_allclose(found, expected, atol=0.08)
    np.testing.assert_array_equal(found[~np.isnan(x)], x[~np.isnan(x)].astype(np.float64))
