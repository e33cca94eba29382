"""The Gaussian terms and likelihoods against numerical integrals and SciPy."""

from __future__ import annotations

import numpy as np
from keras import ops
from scipy import integrate, stats

from genloom import objectives
from genloom_vae.priors import MixturePrior


def numeric_kl(mean: float, sigma: float, other: float, other_sigma: float) -> float:
    """∫ q log(q / p) of two one-dimensional Gaussians, by quadrature."""
    q, p = stats.norm(mean, sigma), stats.norm(other, other_sigma)
    found, _ = integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), mean - 12 * sigma, mean + 12 * sigma)
    return float(found)


def as_float(tensor: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor), np.float64)


def test_kl_to_the_standard_normal_is_the_integral_summed_over_dimensions() -> None:
    mean, sigma = np.array([[0.7, -1.2]]), np.array([[0.5, 1.6]])
    expected = numeric_kl(0.7, 0.5, 0, 1) + numeric_kl(-1.2, 1.6, 0, 1)
    found = objectives.kl_to_standard_normal(ops.array(mean, "float32"), ops.array(2 * np.log(sigma), "float32"))
    np.testing.assert_allclose(as_float(found), [expected], rtol=1e-5)


def test_kl_between_gaussians_is_the_integral_and_zero_for_equal_ones() -> None:
    arrays = [ops.array([[v]], "float32") for v in (0.7, 2 * np.log(0.5), -0.4, 2 * np.log(1.3))]
    expected = numeric_kl(0.7, 0.5, -0.4, 1.3)
    np.testing.assert_allclose(as_float(objectives.kl_between_gaussians(*arrays)), [expected], rtol=1e-5)
    np.testing.assert_allclose(as_float(objectives.kl_between_gaussians(*arrays[:2], *arrays[:2])), [0.0], atol=1e-6)


def test_log_densities_match_scipy() -> None:
    rng = np.random.RandomState(0)
    x, mean = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 2))
    expected = stats.norm(mean, 0.3).logpdf(x).sum((1, 2))
    found = objectives.gaussian_log_prob(ops.array(x, "float32"), ops.array(mean, "float32"), 2 * np.log(0.3))
    np.testing.assert_allclose(as_float(found), expected, rtol=1e-4)
    standard = as_float(objectives.standard_normal_log_prob(ops.array(x, "float32")))
    np.testing.assert_allclose(standard, stats.norm.logpdf(x).sum((1, 2)), rtol=1e-5)


def test_discrete_likelihoods_match_scipy_and_sum_to_one() -> None:
    logits = np.array([[0.3, -2.0, 5.0]])
    x = np.array([[1.0, 0.0, 1.0]])
    expected = stats.bernoulli(1 / (1 + np.exp(-logits))).logpmf(x).sum()
    found = as_float(objectives.bernoulli_log_prob(ops.array(x, "float32"), ops.array(logits, "float32")))
    np.testing.assert_allclose(found, [expected], rtol=1e-5)
    levels = as_float(
        objectives.categorical_log_prob(ops.arange(3)[:, None], ops.array(np.repeat(logits[:, None], 3, 0), "float32"))
    )
    np.testing.assert_allclose(np.exp(levels).sum(), 1.0, rtol=1e-6)
    np.testing.assert_allclose(
        levels, stats.multinomial(1, np.exp(logits[0]) / np.exp(logits).sum()).logpmf(np.eye(3)), rtol=1e-5
    )


def test_a_learned_prior_integrates_to_one_and_samples_what_it_says() -> None:
    from genloom import random

    prior = MixturePrior(1, 3, classes=2)
    prior.means.assign(np.array([[[-2.0], [0.0], [3.0]], [[1.0], [1.0], [1.0]]]))
    prior.log_variances.assign(np.log([[[0.25], [1.0], [0.5]], [[2.0], [2.0], [2.0]]]))
    prior.logits.assign(np.log([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]]))
    grid = np.linspace(-9, 9, 1801)
    for label in (0, 1):
        labels = ops.one_hot(np.full(len(grid), label), 2)
        density = np.exp(as_float(prior.log_prob(ops.array(grid[:, None], "float32"), labels)))
        np.testing.assert_allclose(np.trapezoid(density, grid), 1.0, atol=1e-4)
    labels = ops.one_hot(np.zeros(20_000, "int32"), 2)
    drawn = as_float(prior.sample(random.keys(0, 20_000), labels))
    assert abs(drawn.mean() - 1.1) < 0.06, "0.2 · −2 + 0.3 · 0 + 0.5 · 3"
    assert abs((drawn < -1).mean() - 0.2439) < 0.012, "0.2 Φ(2) + 0.3 Φ(−1) + 0.5 Φ(−5.7)"
