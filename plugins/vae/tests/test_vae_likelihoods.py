"""Likelihoods against sums over all levels, SciPy, and their own draws."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from keras import ops
from scipy import stats

from genloom import DataSpec, backend, random
from genloom.errors import ConfigError
from genloom_vae.likelihoods import decoder_shape, likelihood_of
from genloom_vae.likelihoods.logistic import discretised_logistic_log_prob
from genloom_vae.options import VAEOptions

GREY, COLOUR = DataSpec((2, 3, 1), levels=17), DataSpec((1, 2, 3), levels=5)
ROWS = DataSpec((4,), "table", value_range=(0.0, 2.0), levels=3)


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def levels(spec: DataSpec) -> np.ndarray:
    return np.linspace(-1.0, 1.0, spec.levels).astype("float32")


def made(name: str, spec: DataSpec, n: int, mixtures: int = 3, scale: float = 1.5) -> tuple[Any, np.ndarray]:
    """A likelihood, and n outputs of a decoder for it."""
    options = dataclasses.replace(VAEOptions(), likelihood=name, mixtures=mixtures)
    output = np.random.RandomState(0).normal(size=(n, *decoder_shape(spec, options))) * scale
    return likelihood_of(spec, options), output.astype("float32")


@pytest.mark.parametrize("count", [2, 17, 256])
def test_a_discretised_logistic_sums_to_one_over_its_levels(count: int) -> None:
    x = np.linspace(-1, 1, count)[:, None, None]
    mean, log_scale = np.array([-3.0, -1.0, -0.21, 0.0, 1.0, 1.7])[:, None], np.array([-7.0, -3.0, 0.0, 4.0])
    arguments = (ops.array(part, "float32") for part in (x, mean, log_scale))
    np.testing.assert_allclose(np.exp(array(discretised_logistic_log_prob(*arguments, count))).sum(0), 1.0, atol=2e-5)


def test_a_discretised_logistic_is_a_difference_of_scipys_distribution_and_exact_in_its_tails() -> None:
    x, half = np.linspace(-1, 1, 17)[1:-1, None], 1 / 16
    mean, scale = np.array([[-0.7, 0.1, 1.4]]), 0.15
    expected = np.log(stats.logistic(mean, scale).cdf(x + half) - stats.logistic(mean, scale).cdf(x - half))
    arguments = ops.array(x, "float32"), ops.array(mean, "float32"), float(np.log(scale))
    np.testing.assert_allclose(array(discretised_logistic_log_prob(*arguments, 17)), expected, rtol=2e-5)
    far = array(discretised_logistic_log_prob(ops.zeros((1,)), ops.array([9.0]), -4.0, 17))
    a, b = (1 / 16 - 9) * np.exp(4), (-1 / 16 - 9) * np.exp(4)  # both σ are 0 in float64
    np.testing.assert_allclose(far, a + np.log(-np.expm1(b - a)), rtol=1e-5)


@pytest.mark.parametrize(("name", "spec"), [("categorical", GREY), ("bernoulli", GREY)])
def test_probabilities_of_a_values_levels_sum_to_one(name: str, spec: DataSpec) -> None:
    spec = spec.replace(shape=(1, 1, 1))
    spec = dataclasses.replace(spec, levels=2) if name == "bernoulli" else spec
    likelihood, output = made(name, spec, 4)
    each = [array(likelihood.log_prob(ops.full((4, 1, 1, 1), x), ops.array(output))) for x in levels(spec)]
    np.testing.assert_allclose(np.exp(each).sum(0), 1.0, atol=1e-5)


def test_probabilities_of_a_pixels_colours_sum_to_one() -> None:
    """All 125 colours of five levels in three channels, which depend on one another."""
    spec = COLOUR.replace(shape=(1, 1, 3))
    likelihood, output = made("logistic-mixture", spec, 2)
    grid = np.stack(np.meshgrid(*[levels(spec)] * 3, indexing="ij"), -1).reshape(-1, 1, 1, 3)
    each = [
        array(likelihood.log_prob(ops.array(grid), ops.array(np.repeat(output[i : i + 1], 125, 0)))) for i in (0, 1)
    ]
    np.testing.assert_allclose(np.exp(each).sum(1), 1.0, atol=1e-5)


def test_a_mixture_of_colours_is_the_papers_by_hand() -> None:
    """Salimans et al. 2017, eq. 3: the mean of green takes α red, that of blue β red + γ green."""
    spec = COLOUR.replace(shape=(1, 1, 3))
    likelihood, output = made("logistic-mixture", spec, 1, mixtures=2)
    logits, means, log_scales, coefficients = np.split(output.reshape(-1).astype(float), [2, 8, 14])
    means, log_scales, coefficients = (part.reshape(3, 2) for part in (means, log_scales, np.tanh(coefficients)))
    x, half, total = np.array([0.5, -1.0, 1.0]), 0.25, 0.0
    for k in range(2):
        m = means[:, k] + [0.0, coefficients[0, k] * x[0], coefficients[1, k] * x[0] + coefficients[2, k] * x[1]]
        s = stats.logistic(m, np.exp(log_scales[:, k]))
        low, high = s.cdf(x - half), s.cdf(x + half)
        low[1], high[2] = 0.0, 1.0
        total += np.exp(logits[k]) / np.exp(logits).sum() * np.prod(high - low)
    found = array(likelihood.log_prob(ops.array(x.reshape(1, 1, 1, 3), "float32"), ops.array(output)))
    np.testing.assert_allclose(found, np.log(total), rtol=1e-5)


def test_a_diagonal_gaussian_is_scipys() -> None:
    spec = DataSpec((3, 2), "signal", value_range=None)
    likelihood, output = made("gaussian-diagonal", spec, 5)
    x = np.random.RandomState(1).normal(size=(5, 3, 2))
    sigma = np.exp(-4 + np.logaddexp(0, output[..., 2:] + 4))
    expected = stats.norm(output[..., :2], sigma).logpdf(x).sum((1, 2))
    np.testing.assert_allclose(array(likelihood.log_prob(ops.array(x, "float32"), ops.array(output))), expected, 1e-4)
    draws = array(likelihood.drawn(random.keys(0, 8192), ops.array(np.repeat(output[:1], 8192, 0))))
    np.testing.assert_allclose(draws.std(0), sigma[0], rtol=0.03)


@pytest.mark.parametrize(
    ("name", "spec"), [("categorical", ROWS), ("logistic-mixture", GREY), ("logistic-mixture", COLOUR)]
)
def test_draws_lie_on_the_levels_as_often_as_log_prob_says_and_around_the_mean(name: str, spec: DataSpec) -> None:
    n = 8192
    likelihood, output = made(name, spec, 1, scale=0.7)
    repeated = np.repeat(output, n, 0)

    def drawn_with_nats(keys: Any, output: Any) -> Any:
        drawn = likelihood.drawn(keys, output)
        half = likelihood.sample(keys, output, 0.5)
        return drawn, half, likelihood.mean(output), likelihood.log_prob(drawn, output)

    compiled = backend.compiled(drawn_with_nats, likelihood)
    drawn, half, mean, nats = map(array, compiled(random.keys(0, n), ops.array(repeated)))
    place = (drawn + 1) * (spec.levels - 1) / 2
    assert drawn.shape == (n, *spec.shape)
    np.testing.assert_allclose(place, np.round(place), atol=1e-4)
    np.testing.assert_allclose(half, mean + 0.5 * (drawn - mean), atol=1e-5)
    rounding = 0.0 if name == "categorical" else 0.5 / (spec.levels - 1)  # the mean of a mixture is not rounded
    np.testing.assert_allclose(drawn.mean(0), mean[0], atol=0.03 + rounding)
    if spec is not COLOUR:  # values are independent: entropies of their counts add up
        counted = sum(stats.entropy(np.bincount(column) / n) for column in place.reshape(n, -1).round().astype(int).T)
        assert -nats.mean() == pytest.approx(counted, rel=0.02)


def test_missing_values_are_not_counted_and_a_colour_counts_whole_or_not_at_all() -> None:
    likelihood, output = made("categorical", GREY, 1)
    x = ops.array(np.random.RandomState(0).choice(levels(GREY), (1, 2, 3, 1)))
    each = array(likelihood.log_probs(x, ops.array(output)))
    seen = np.zeros((1, 2, 3, 1), "float32")
    seen[0, 0, :2] = 1.0
    np.testing.assert_allclose(
        array(likelihood.log_prob(x, ops.array(output), ops.array(seen))), each[0, 0, :2].sum(), rtol=1e-5
    )
    likelihood, output = made("logistic-mixture", COLOUR, 1)
    x = ops.array(np.random.RandomState(0).choice(levels(COLOUR), (1, 1, 2, 3)))
    seen = np.array([1, 1, 0, 1, 1, 1], "float32").reshape(1, 1, 2, 3)
    expected = array(likelihood.log_probs(x, ops.array(output)))[0, 0, 1].sum()
    np.testing.assert_allclose(array(likelihood.log_prob(x, ops.array(output), ops.array(seen))), expected, rtol=1e-5)


def test_what_data_have_no_such_likelihood_is_refused_with_the_mend() -> None:
    with pytest.raises(ConfigError, match=r"likelihood=categorical needs data of known levels"):
        made("categorical", DataSpec((4, 4, 1)), 1)
    with pytest.raises(ConfigError, match=r"likelihood=logistic-mixture needs data of known levels"):
        made("logistic-mixture", DataSpec((4,), "signal", value_range=None), 1)
    with pytest.raises(ConfigError, match=r"categorical is for 256 levels at most, the data have 1024"):
        made("categorical", DataSpec((4, 4, 1), levels=1024), 1)
