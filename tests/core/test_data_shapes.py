"""`toy:shapes`: pictures are what their factors say, all different, and factors independent."""

from __future__ import annotations

import numpy as np
import pytest

from genloom import data
from genloom.cli.encode import scores_of
from genloom.data.sources.shapes import FACTORS, draw_shapes
from genloom.errors import DataError

pytestmark = pytest.mark.any_engine


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area and middle (column, row) of pictures (n, side, side, 1), in pixels."""
    x = x[..., 0].astype(float)
    places, area = np.arange(x.shape[1]) + 0.5, x.sum((1, 2))
    return area, np.stack([(x * places).sum((1, 2)), (x * places[:, None]).sum((1, 2))], axis=1) / area[:, None]


def test_pictures_are_all_different_and_none_is_in_both_splits() -> None:
    opened = data.open("toy:shapes?n=20000")
    train, test = opened.train.arrays()["x"], opened.test.arrays()["x"]
    assert train.shape == (20_000, 16, 16, 1)
    assert (len(test), opened.spec.levels) == (4000, 17)
    both = np.concatenate([train, test]).reshape(24_000, -1)
    assert len(np.unique((16 * both).round().astype(np.uint8), axis=0)) == 24_000
    np.testing.assert_array_equal(train * 16, np.round(train * 16))


def test_a_picture_is_what_its_factors_say() -> None:
    """A square of radius r covers 2 r², an ellipse π r²/2; the middle moves evenly with the place."""
    opened = data.open("toy:shapes", n=6000, size=32)
    x, factors = opened.train.arrays()["x"], opened.factors.train
    np.testing.assert_array_equal(x, draw_shapes(factors, 32) / 16)
    area, middle = moments(x)
    step = 3  # points, a quarter of a pixel each
    radius = np.linspace(0.5, 1.0, 6) * 0.42 * (32 - 15 * step / 4)
    for shape, share in ((0, 2.0), (1, np.pi / 2)):
        chosen = factors[:, 0] == shape
        np.testing.assert_allclose(area[chosen], share * radius[factors[chosen, 1]] ** 2, rtol=0.06)
        np.testing.assert_allclose(middle[chosen], 16 + (factors[chosen, 3:] - 7.5) * step / 4, atol=0.15)
    heart = factors[:, 0] == 2
    assert np.corrcoef(middle[heart, 0], factors[heart, 3])[0, 1] > 0.98


def test_an_ellipse_is_turned_by_its_orientation() -> None:
    factors = np.stack([np.ones(15), np.full(15, 5), np.arange(15), np.full(15, 8), np.full(15, 8)], axis=1).astype(int)
    x = draw_shapes(factors.astype(np.int32), 64)[..., 0].astype(float)
    down, across = np.mgrid[:64, :64] + 0.5
    for turn, picture in enumerate(x):
        weights = picture / picture.sum()
        u, v = across - (weights * across).sum(), down - (weights * down).sum()
        angle = 0.5 * np.arctan2(2 * (weights * u * v).sum(), (weights * (u**2 - v**2)).sum())
        assert angle == pytest.approx(turn * np.pi / 30, abs=0.02)


def test_factors_are_uniform_and_independent_and_a_seed_chooses_others() -> None:
    factors = data.open("toy:shapes").factors
    assert factors.names == tuple(FACTORS)
    for column, size in zip(factors.train.T, factors.sizes, strict=True):
        np.testing.assert_allclose(np.bincount(column) / len(column), 1 / size, rtol=0.05)
    correlations = np.corrcoef(factors.train.T) - np.eye(5)
    assert np.abs(correlations).max() < 0.02
    other = data.open("toy:shapes", n=100, seed=1)
    assert other.fingerprint != data.open("toy:shapes", n=100).fingerprint
    assert (other.factors.train[:50] != factors.train[:50]).any()


def test_held_out_codes_are_scored_against_the_factors_by_encode() -> None:
    opened = data.open("toy:shapes", n=5000)
    codes = opened.factors.test.astype(float)
    found = scores_of({"x_test": codes}, opened)
    assert found["sap"] == pytest.approx((4 + 2 / 3) / 5, abs=0.05)  # chance is taken off the shape's three values
    assert found["disentanglement"] > 0.8
    assert scores_of({"x_test": codes}, data.open("digits")) == {}
    assert scores_of({"x_test": codes[:, :1]}, opened) == {}


def test_options_of_other_toys_and_too_many_pictures_are_refused() -> None:
    with pytest.raises(DataError, match=r"toy:shapes has no sigma, got 0\.1"):
        data.open("toy:shapes", sigma=0.1)
    with pytest.raises(DataError, match=r"toy:8-ring has no size, got 32"):
        data.open("toy:8-ring", size=32)
    with pytest.raises(DataError, match=r"has 69,120 pictures, 72,000 are asked for"):
        data.open("toy:shapes", n=60_000)
