"""Every distance against the value that theory gives it: closed forms, not other implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genloom.errors import ConfigError, DataError
from genloom.metrics import (
    bits_per_dimension,
    frechet_distance,
    frechet_from_moments,
    inception_score,
    kernel_distance,
    mmd_rbf,
    perplexity,
    sliced_wasserstein,
    two_sample_accuracy,
)

pytestmark = pytest.mark.any_engine


def _with_moments(n: int, mean: np.ndarray, covariance: np.ndarray, seed: int) -> np.ndarray:
    """Return n rows whose sample mean and covariance are exactly the ones asked for."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(0)
    whitener = np.linalg.inv(np.linalg.cholesky(np.cov(x.T)))
    return mean + x @ whitener.T @ np.linalg.cholesky(covariance).T


def test_frechet_of_diagonal_covariances() -> None:
    value = frechet_from_moments([0, 0, 0], np.diag([1, 4, 9]), [1, 2, 2], np.diag([4, 4, 1]))
    assert value == pytest.approx(14.0, rel=1e-12)


def test_frechet_of_covariances_that_do_not_commute() -> None:
    value = frechet_from_moments([0, 0], [[2, 1], [1, 2]], [0, 0], np.diag([1, 3]))
    assert value == pytest.approx(0.5166852264521173, rel=1e-9)


def test_frechet_of_directions_without_variance() -> None:
    """Such covariances have no Cholesky factor."""
    value = frechet_from_moments([0, 0, 0], np.diag([1, 0, 9]), [1, 2, 2], np.diag([4, 0, 1]))
    assert value == pytest.approx(9.0 + 1.0 + 4.0, rel=1e-12)  # the shift, then (2 - 1)² and (1 - 3)²


def test_frechet_of_samples_uses_unbiased_covariances() -> None:
    x = _with_moments(50, np.zeros(3), np.diag([1.0, 4.0, 9.0]), seed=0)
    y = _with_moments(70, np.array([1.0, 2.0, 2.0]), np.diag([4.0, 4.0, 1.0]), seed=1)
    assert frechet_distance(x, y) == pytest.approx(14.0, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(12, 12), (12, 300), (300, 12)])
def test_frechet_with_fewer_samples_than_features_agrees_with_the_moments(n: int, m: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, 40)), rng.standard_normal((m, 40)) * 1.5 + 0.3
    expected = frechet_from_moments(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    # The moments take the root of eigenvalues of size 1e-16, so they are the less exact of the two.
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "expected"), [(200, 11.1), (1000, 2.21), (5000, 0.44)])
def test_frechet_bias_falls_with_n(n: int, expected: float) -> None:
    pairs = np.random.default_rng(0).standard_normal((6, 2, n, 64))
    # One estimate spreads by 4 %, the mean of six by less than 2.
    assert np.mean([frechet_distance(x, y) for x, y in pairs]) == pytest.approx(expected, rel=0.05)


def test_kernel_distance_of_constants() -> None:
    # k(0, 0) = 1, k(2, 2) = (16/4 + 1)³ = 125, k(0, 2) = 1.
    assert kernel_distance(np.zeros((7, 4)), np.full((9, 4), 2.0)) == pytest.approx(124.0, rel=1e-12)


def test_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    values = [kernel_distance(rng.standard_normal((40, 6)), rng.standard_normal((40, 6))) for _ in range(200)]
    assert min(values) < 0
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(len(values))


def test_rbf_mmd_of_shifted_gaussians() -> None:
    rng = np.random.default_rng(0)
    shift = np.array([1.0, 0, 0, 0, 0])
    value = mmd_rbf(rng.standard_normal((3000, 5)), rng.standard_normal((3000, 5)) + shift, sigma=2.0)
    # 2 (σ²/(σ²+2))^(d/2) (1 − exp(−‖μ‖²/(2(σ²+2)))); the estimate itself spreads by 0.0025.
    assert value == pytest.approx(0.0580297, abs=0.006)
    assert 2 * (4 / 6) ** 2.5 * (1 - math.exp(-1 / 12)) == pytest.approx(0.0580297, abs=1e-6)


def test_chunks_do_not_change_a_kernel_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 3)), rng.standard_normal((41, 3))
    whole = mmd_rbf(x, y)
    monkeypatch.setattr("genloom.metrics.mmd._ROWS", 7)
    assert mmd_rbf(x, y) == pytest.approx(whole, rel=1e-12)


def test_sliced_wasserstein_of_a_scale() -> None:
    x = np.random.default_rng(0).standard_normal((2000, 4))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True))).T
    assert sliced_wasserstein(x, 3.0 * x) == pytest.approx((1 - 3.0) ** 2, rel=1e-6)


def test_sliced_wasserstein_of_a_shift() -> None:
    x = np.random.default_rng(0).standard_normal((50, 5))
    shift = np.array([1.0, 2.0, 0.0, 0.0, 2.0])
    assert sliced_wasserstein(x, x + shift, projections=20000) == pytest.approx(9.0 / 5, rel=0.03)


def test_sliced_wasserstein_of_sets_of_different_sizes() -> None:
    x = np.random.default_rng(0).standard_normal((40, 3))
    assert sliced_wasserstein(np.repeat(x, 3, axis=0), x + 1.0) == pytest.approx(sliced_wasserstein(x, x + 1.0))


def test_inception_score_of_sure_balanced_and_of_constant_predictions() -> None:
    assert inception_score(np.tile(np.eye(7), (3, 1))) == pytest.approx(7.0)
    assert inception_score(np.tile([0.5, 0.3, 0.2], (9, 1))) == pytest.approx(1.0)
    with pytest.raises(DataError):
        inception_score([[0.5, 0.2]])


def test_two_sample_accuracy_of_shifted_gaussians() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4000, 2)), rng.standard_normal((4000, 2)) + np.array([2.0, 0.0])
    assert two_sample_accuracy(x, y) == pytest.approx(0.8413, abs=0.01)
    assert two_sample_accuracy(x, y, classifier="neighbours") == pytest.approx(0.8413, abs=0.015)
    with pytest.raises(ConfigError, match="Unknown classifier 'forest'"):
        two_sample_accuracy(x, y, classifier="forest")


def test_only_neighbours_see_a_difference_of_spread() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1000, 2)), 3.0 * rng.standard_normal((1000, 2))
    assert two_sample_accuracy(x, y) == pytest.approx(0.5, abs=0.06)
    assert two_sample_accuracy(x, y, classifier="neighbours") > 0.7


def test_units_of_likelihood() -> None:
    assert bits_per_dimension(192 * math.log(256), 192) == pytest.approx(8.0)
    assert bits_per_dimension(64 * math.log(17), 64) == pytest.approx(4.09, abs=0.005)
    assert perplexity(math.log(65)) == pytest.approx(65.0)
    with pytest.raises(ConfigError):
        bits_per_dimension(1.0, 0)


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance, sliced_wasserstein])
def test_what_is_not_two_sets_of_finite_vectors_is_refused(metric: object) -> None:
    good = np.zeros((4, 3))
    bad = good.copy()
    bad[1, 2] = np.nan
    with pytest.raises(DataError, match="1 of 4 samples hold NaN"):
        metric(good, bad)  # type: ignore[operator]
    with pytest.raises(DataError, match="have 3 and 2 features"):
        metric(good, good[:, :2])  # type: ignore[operator]
