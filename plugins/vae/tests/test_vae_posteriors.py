"""Posteriors and priors of other forms against SciPy, numerical integrals and their own volumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops
from scipy import special, stats

from genloom import DataSpec, backend, random
from genloom_vae.model import MLPVAE
from genloom_vae.posteriors import AutoregressivePosterior, SpherePosterior, VonMisesFisher
from genloom_vae.priors import FlowPrior, UniformPrior

RNG = np.random.RandomState(0)


@pytest.fixture(autouse=True)
def anew() -> None:
    """Every test has the same numbers, whichever ran before."""
    RNG.seed(0)


def number(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), np.float64)


def tensor(x: Any) -> Any:
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def directions(n: int, size: int) -> np.ndarray:
    x = RNG.normal(size=(n, size))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def mean_cosine(size: int, kappa: float) -> float:
    """I_{d/2}(κ) / I_{d/2−1}(κ)."""
    return float(special.ive(size / 2, kappa) / special.ive(size / 2 - 1, kappa))


@pytest.mark.parametrize(("size", "kappa"), [(3, 1.5), (16, 6.0), (8, 900.0)])
def test_von_mises_fisher_has_its_density_its_divergence_and_its_moments(size: int, kappa: float) -> None:
    n = 20_000
    mu = directions(1, size)
    q = VonMisesFisher(tensor(mu), tensor([[kappa]]))
    drawn, log_q = (number(part) for part in q.repeated(n).sample(tensor(RNG.normal(size=(n, size)))))
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.0, atol=1e-4)
    exact = stats.vonmises_fisher(mu[0], kappa)
    np.testing.assert_allclose(
        log_q[:50], exact.logpdf(drawn[:50] / np.linalg.norm(drawn[:50], axis=1)[:, None]), atol=0.02
    )
    area = np.log(2) + size / 2 * np.log(np.pi) - special.gammaln(size / 2)
    divergence = -exact.entropy() + area
    np.testing.assert_allclose(number(q.kl_to_uniform()), [divergence], rtol=2e-3, atol=1e-3)
    cosine, spread = drawn @ mu[0], 4.5 / np.sqrt(n)
    mean = mean_cosine(size, kappa)
    variance = 1 - (size - 1) / kappa * mean - mean**2
    assert cosine.mean() == pytest.approx(mean, abs=spread * np.sqrt(variance) + 1e-4)
    assert cosine.var() == pytest.approx(variance, rel=0.08)
    across = drawn - cosine[:, None] * mu
    assert np.abs(across.mean(0)).max() < spread * np.sqrt((across**2).mean()) * np.sqrt(2), "evenly around its axis"


def test_the_slope_of_a_drawn_angle_in_its_concentration_is_that_of_its_mean() -> None:
    size, n = 6, 4000
    q = VonMisesFisher(ops.tile(tensor(np.eye(size)[:1]), (n, 1)), None)
    noise = tensor(RNG.normal(size=(n, size)))

    def cosine(kappa: Any) -> Any:
        return VonMisesFisher(q.direction, ops.ones((n, 1)) * kappa).sample(noise)[0][:, 0]

    found = float(number(backend.grad(cosine)(tensor([[8.0]]))).sum()) / n
    by_hand = (mean_cosine(size, 8.05) - mean_cosine(size, 7.95)) / 0.1
    assert found == pytest.approx(by_hand, rel=0.05)


def test_an_encoder_says_direction_and_concentration() -> None:
    q = SpherePosterior(3).of(tensor([[3.0, 0.0, 4.0, -50.0], [0.0, -2.0, 0.0, 6000.0]]))
    np.testing.assert_allclose(number(q.code()), [[0.6, 0.0, 0.8], [0.0, -1.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(number(q.concentration), [[1.0], [1000.0]], rtol=1e-5)


def slopes(f: Any, x: np.ndarray, step: float = 3e-3) -> np.ndarray:
    """The Jacobian of f at one point (d,), by central differences in one batch."""
    around = x + step * np.concatenate([np.eye(len(x)), -np.eye(len(x))])
    up, down = np.split(number(f(tensor(around))), 2)
    return ((up - down) / (2 * step)).T


def shaken(layer: Any, scale: float = 0.4) -> None:
    for weight in layer.trainable_weights:
        weight.assign(scale * RNG.normal(size=tuple(weight.shape)))


def test_a_flow_posterior_has_the_density_that_its_volume_gives() -> None:
    posterior, size = AutoregressivePosterior(3), 3
    shaken(posterior)
    output, noise = RNG.normal(size=(1, 9)), RNG.normal(size=3)

    def z_of(noise: Any) -> Any:
        n = int(noise.shape[0])
        return posterior.of(ops.tile(tensor(output), (n, 1))).sample(noise)[0]

    log_q = float(number(posterior.of(tensor(output)).sample(tensor(noise[None]))[1])[0])
    volume = np.log(abs(np.linalg.det(slopes(z_of, noise))))
    assert log_q == pytest.approx(stats.norm.logpdf(noise).sum() - volume, abs=5e-3)
    first = posterior.steps[0]
    context = tensor(RNG.normal(size=(1, size)))
    jacobian = slopes(lambda z: first(z, ops.tile(context, (int(z.shape[0]), 1)))[0], noise)
    np.testing.assert_allclose(jacobian[np.triu_indices(size, 1)], 0.0, atol=1e-4)
    assert (np.diag(jacobian) > 0).all()
    assert np.abs(jacobian[np.tril_indices(size, -1)]).min() > 3e-4, "each dimension sees all before it"


def test_a_flow_prior_integrates_to_one_by_label_and_draws_what_it_says() -> None:
    prior = FlowPrior(2, classes=2)
    shaken(prior, 0.18)
    axis = np.linspace(-9, 9, 181)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    means = []
    for label in (0, 1):
        labels = ops.one_hot(np.full(len(grid), label), 2)
        density = np.exp(number(prior.log_prob(tensor(grid), labels))) * (axis[1] - axis[0]) ** 2
        assert density.sum() == pytest.approx(1.0, abs=0.01)
        drawn = number(prior.sample(random.keys(label, 4000), ops.one_hot(np.full(4000, label), 2)))
        means.append((density[:, None] * grid).sum(0))
        np.testing.assert_allclose(drawn.mean(0), means[-1], atol=0.12)
    assert np.abs(means[0] - means[1]).max() > 0.2, "labels matter"
    np.testing.assert_allclose(
        number(FlowPrior(3).log_prob(tensor([[1.0, 2.0, 0.0]]), None)), stats.norm.logpdf([1, 2, 0]).sum(), rtol=1e-5
    )


def test_the_prior_of_pseudo_inputs_is_the_mean_of_their_posteriors() -> None:
    spec = DataSpec((2, 2, 1), classes=2)
    model = MLPVAE(spec, latent=3, hidden=(6,), prior="vamp", components=4)
    z, labels = RNG.normal(size=(5, 3)), np.array([0, 1, 1, 0, 1])
    found = number(model.prior.log_prob(tensor(z), ops.one_hot(labels, 2)))
    inputs = np.tanh(number(model.prior.inputs)).reshape(2, 4, 2, 2, 1)
    for row, label, log_p in zip(z, labels, found, strict=True):
        q: Any = model.infer(tensor(inputs[label]), ops.one_hot(np.full(4, label), 2))
        each = stats.norm(number(q.mean), np.exp(0.5 * number(q.log_variance))).logpdf(row).sum(1)
        assert log_p == pytest.approx(special.logsumexp(each) - np.log(4), rel=1e-4)


def test_the_uniform_prior_is_flat_on_the_sphere() -> None:
    prior = UniformPrior(3)
    drawn = number(prior.sample(random.keys(0, 5000), None))
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(drawn.T @ drawn / 5000, np.eye(3) / 3, atol=0.02)
    np.testing.assert_allclose(number(prior.log_prob(tensor(drawn[:2]), None)), -np.log(4 * np.pi), rtol=1e-6)
