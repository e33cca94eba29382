"""Neighbourhood metrics and mode coverage against what theory says of perfect and broken samplers."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from genloom.errors import DataError
from genloom.metrics import class_modes, mixture_modes, nearest_neighbours, neighbourhoods
from genloom.metrics.neighbours import radii

pytestmark = pytest.mark.any_engine


def test_coverage_and_density_of_a_perfect_sampler() -> None:
    n, k = 1000, 5
    rng = np.random.default_rng(0)
    expected = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    assert expected == pytest.approx(0.969, abs=5e-4)
    shares = [neighbourhoods(rng.standard_normal((n, 8)), rng.standard_normal((n, 8)), k) for _ in range(4)]
    assert np.mean([s.coverage for s in shares]) == pytest.approx(expected, abs=0.006)
    assert np.mean([s.density for s in shares]) == pytest.approx(1.0, abs=0.05)


def test_one_real_outlier_fools_precision_but_not_density() -> None:
    rng = np.random.default_rng(0)
    real, generated = rng.standard_normal((1000, 64)), rng.standard_normal((1000, 64)) + 1.0
    before = neighbourhoods(generated, real)
    after = neighbourhoods(generated, np.concatenate([real, np.full((1, 64), 3.0)]))
    assert before.precision == pytest.approx(0.004, abs=0.01)
    assert after.precision == pytest.approx(1.0, abs=0.01)
    assert before.density == pytest.approx(0.001, abs=0.004)
    assert after.density == pytest.approx(0.20, abs=0.01)


def test_identical_sets_with_duplicates_score_one() -> None:
    x = np.repeat(np.random.default_rng(0).standard_normal((20, 3)), 6, axis=0)
    shares = neighbourhoods(x, x, k=5)
    assert (shares.precision, shares.recall, shares.coverage) == (1.0, 1.0, 1.0)


def test_the_four_shares_on_a_line_by_hand() -> None:
    real, generated = np.array([0.0, 1.0, 3.0, 10.0]), np.array([0.5, 1.2, 20.0])
    # k = 1 radii: real 1, 1, 2, 7; generated 0.7, 0.7, 18.8.
    assert radii(real, 1).tolist() == [1, 1, 2, 7]
    shares = neighbourhoods(generated, real, k=1)
    # 0.5 lies in the balls of 0 and 1; 1.2 in those of 1 and 3; 20 in none.
    assert shares.precision == pytest.approx(2 / 3)
    assert shares.density == pytest.approx(4 / 3)
    assert shares.coverage == pytest.approx(3 / 4)
    # 0 and 1 lie in 0.5's ball; 3 and 10 in 20's.
    assert shares.recall == pytest.approx(1.0)


def test_chunks_do_not_change_the_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 4)), rng.standard_normal((75, 4)) + 0.5
    whole = neighbourhoods(x, y)
    monkeypatch.setattr("genloom.metrics.neighbours._MOST_DISTANCES", 11 * 75)
    assert neighbourhoods(x, y) == whole


def test_memory_does_not_grow_with_the_square_of_the_samples() -> None:
    x, y = (np.random.default_rng(seed).standard_normal((9_000, 4)) for seed in (0, 1))
    tracemalloc.start()
    neighbourhoods(x, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3.5 * 8 * 2**22  # a slice of distances, its partition and what is read from it; the matrix is 648 MB


def test_nearest_neighbours_find_copies_at_distance_zero() -> None:
    reference = np.random.default_rng(0).standard_normal((30, 4)) * 1e3
    indices, distances = nearest_neighbours(reference[[7, 3]], reference, k=2)
    assert indices[:, 0].tolist() == [7, 3]
    assert distances[:, 0].tolist() == [0.0, 0.0]
    every = np.linalg.norm(reference - reference[7], axis=1)
    assert distances[0, 1] == pytest.approx(np.sort(every)[1], rel=1e-12)
    with pytest.raises(DataError, match="31 neighbours were asked for among 30"):
        nearest_neighbours(reference, reference, k=31)


def _ring(n: int, sigma: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    angle = np.arange(8) * np.pi / 4
    centres = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return centres[rng.integers(0, 8, n)] + sigma * rng.standard_normal((n, 2)), centres


def test_mode_coverage_of_a_perfect_sampler_of_the_ring() -> None:
    reports = [mixture_modes(*_ring(2500, 0.01, seed), sigma=0.01) for seed in range(40)]
    assert {report.modes for report in reports} == {8}
    assert np.mean([report.share for report in reports]) == pytest.approx(0.989, abs=0.001)
    assert np.mean([report.reverse_kl for report in reports]) == pytest.approx(0.0014, abs=0.0004)


def test_mode_coverage_of_a_perfect_sampler_of_the_grid() -> None:
    centres = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1).reshape(25, 2)
    rng = np.random.default_rng(0)
    reports = [
        mixture_modes(centres[rng.integers(0, 25, 2500)] + 0.05 * rng.standard_normal((2500, 2)), centres, 0.05)
        for _ in range(40)
    ]
    assert np.mean([report.reverse_kl for report in reports]) == pytest.approx(0.0049, abs=0.0006)


def test_a_collapsed_sampler_of_the_ring() -> None:
    samples, centres = _ring(2500, 0.01, seed=0)
    collapsed = samples[np.linalg.norm(samples - centres[2], axis=1) < 0.1]
    report = mixture_modes(collapsed, centres, sigma=0.01)
    assert report.modes == 1
    assert report.reverse_kl == pytest.approx(np.log(8))


@pytest.mark.parametrize(("n", "kl"), [(25600, 0.0197), (50000, 0.0098 + 0.0002)])
def test_stacked_classes_of_a_perfect_sampler(n: int, kl: float) -> None:
    report = class_modes(np.random.default_rng(0).integers(0, 1000, n), 1000)
    assert report.modes == 1000
    assert report.reverse_kl == pytest.approx(kl, rel=0.1)


def test_a_perfect_sampler_shows_919_of_1000_modes_at_2500_samples() -> None:
    rng = np.random.default_rng(0)
    modes = [class_modes(rng.integers(0, 1000, 2500), 1000).modes for _ in range(40)]
    assert np.mean(modes) == pytest.approx(919, abs=4)


def test_class_modes_against_uneven_frequencies() -> None:
    report = class_modes([0, 0, 0, 1], 3, frequencies=[3, 1, 0])
    assert (report.modes, report.reverse_kl) == (2, pytest.approx(0.0, abs=1e-12))
    assert class_modes([2], 3, frequencies=[3, 1, 0]).reverse_kl == np.inf
    with pytest.raises(DataError):
        class_modes([3], 3)
