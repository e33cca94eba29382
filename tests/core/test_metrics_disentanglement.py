"""Scores of codes against known factors: those of a perfect code, of a turned one and of noise."""

from __future__ import annotations

import numpy as np
import pytest

from genloom import metrics
from genloom.errors import DataError
from genloom.metrics.disentanglement import _mutual_information

pytestmark = pytest.mark.any_engine

RANDOM = np.random.default_rng(0)
FACTORS = RANDOM.integers(0, 4, (4000, 3))
NOISE = RANDOM.normal(size=(4000, 2))
PERFECT = np.concatenate([FACTORS[:, [2, 0, 1]].astype(float), NOISE], axis=1)
TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
TURNED = (FACTORS - 1.5) @ np.full((3, 3), 1.0) + (FACTORS - 1.5) @ TURN


def test_a_perfect_code_has_the_largest_scores() -> None:
    assert metrics.mutual_information_gap(PERFECT, FACTORS) == pytest.approx(1.0, abs=0.02)
    assert metrics.separated_attribute_predictability(PERFECT, FACTORS) == pytest.approx(1.0, abs=0.01)
    found = metrics.dci(PERFECT, FACTORS)
    assert min(found.disentanglement, found.completeness, found.informativeness) > 0.98


def test_an_unordered_factor_is_told_by_thresholds_and_has_chance_taken_off() -> None:
    """Values 0 1 2 3 at places 2 0 3 1: no line tells them, four thresholds do; 1 − 1/4."""
    shuffled = np.array([2.0, 0.0, 3.0, 1.0])[FACTORS[:, :1]]
    codes = np.concatenate([shuffled, NOISE], axis=1)
    by_line = metrics.separated_attribute_predictability(codes, FACTORS[:, 0])
    by_thresholds = metrics.separated_attribute_predictability(codes, FACTORS[:, 0], unordered=(0,))
    assert by_line < 0.05
    assert by_thresholds == pytest.approx(0.75, abs=0.03)


def test_a_factor_that_two_dimensions_tell_alike_leaves_no_gap() -> None:
    twice = np.concatenate([PERFECT, PERFECT[:, :3] * 2.0], axis=1)
    assert metrics.mutual_information_gap(twice, FACTORS) == pytest.approx(0.0, abs=1e-9)
    assert metrics.separated_attribute_predictability(twice, FACTORS) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("codes", [RANDOM.normal(size=(4000, 5)), TURNED])
def test_noise_and_a_turned_code_are_near_zero(codes: np.ndarray) -> None:
    assert metrics.mutual_information_gap(codes, FACTORS) < 0.12
    assert metrics.separated_attribute_predictability(codes, FACTORS) < 0.25
    found = metrics.dci(codes, FACTORS)
    assert found.disentanglement < 0.3
    assert found.completeness < 0.3


def test_importances_are_read_as_the_paper_says() -> None:
    assert metrics.disentanglement_of(np.eye(3)) == pytest.approx((1.0, 1.0))
    assert metrics.disentanglement_of(np.ones((4, 3))) == pytest.approx((0.0, 0.0))
    # Dimension 0 tells both factors alike, with two thirds of all importance; dimension 1 tells the second alone.
    by_hand = (2 / 3) * 0.0 + (1 / 3) * 1.0, (1.0 + 0.0) / 2
    assert metrics.disentanglement_of([[1.0, 1.0], [0.0, 1.0]]) == pytest.approx(by_hand)


def test_mutual_information_is_that_of_a_table() -> None:
    """A fair coin seen through a channel that flips one in four: 1 − H(1/4) bits."""
    a, b = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 0, 1, 1, 1, 1, 0])
    bits = 1 + 0.25 * np.log2(0.25) + 0.75 * np.log2(0.75)
    assert _mutual_information(a, b) == pytest.approx(bits * np.log(2))


def test_units_are_active_where_their_means_vary() -> None:
    means = RANDOM.normal(size=(500, 4)) * [1.0, 0.2, 0.05, 0.0]
    assert metrics.active_units(means) == 2
    assert metrics.active_units(means, threshold=1e-4) == 3


def test_all_scores_come_by_name_of_codes_of_any_rank() -> None:
    found = metrics.disentanglement_scores(PERFECT[:, :4].reshape(-1, 2, 2), FACTORS, unordered=(0,))
    assert list(found) == ["mig", "sap", "disentanglement", "completeness", "informativeness", "active_units"]
    assert found["mig"] == pytest.approx(1.0, abs=0.02)
    assert found["sap"] == pytest.approx((1.0 + 1.0 + 0.75) / 3, abs=0.02)
    assert found["active_units"] == 4


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(DataError, match=r"the codes have one"):
        metrics.mutual_information_gap(NOISE[:, :1], FACTORS)
    with pytest.raises(DataError, match=r"Factor 1 has one value in all 4000 samples"):
        metrics.dci(NOISE, FACTORS * [1, 0, 1])
    with pytest.raises(DataError, match=r"4000 codes need whole numbers"):
        metrics.separated_attribute_predictability(NOISE, FACTORS[:10])
