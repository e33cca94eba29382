"""Samples as pictures: every pixel of a grid, and which kind gets which drawing."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from genloom.data.spec import DataSpec
from genloom.errors import ConfigError
from genloom.modalities import picture, pictured
from genloom.modalities.drawing import grid, scatter, to_bytes

pytestmark = pytest.mark.any_engine

GREY = DataSpec((2, 2, 1))


def test_each_value_lands_on_its_pixels() -> None:
    samples = np.array([[[0.0, 0.5], [1.0, 2.0]], [[-1.0, np.nan], [np.inf, 0.25]]])[..., None]
    pixels = np.asarray(grid(samples, GREY, columns=2, scale=2))
    first = [[0, 0, 128, 128], [0, 0, 128, 128], [255] * 4, [255] * 4]
    second = [[0] * 4, [0] * 4, [255, 255, 64, 64], [255, 255, 64, 64]]
    assert pixels.tolist() == [[*a, 255, 255, *b] for a, b in zip(first, second, strict=True)]


def test_the_range_of_the_data_decides_the_shade() -> None:
    signed = GREY.replace(value_range=(-1.0, 1.0))
    unbounded = GREY.replace(value_range=None)
    samples = np.array([-1.0, 0.0, 0.5, 1.0]).reshape(1, 2, 2, 1)
    assert np.asarray(grid(samples, signed, scale=1)).ravel().tolist() == [0, 128, 191, 255]
    assert np.asarray(grid(5 + samples, unbounded, scale=1)).ravel().tolist() == [0, 128, 191, 255]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_channels_become_modes_and_small_pictures_grow(channels: int, mode: str) -> None:
    drawn = grid(np.zeros((10, 8, 8, channels)), DataSpec((8, 8, channels)))
    assert drawn.mode == mode
    assert drawn.size == (4 * 48 + 3 * 2, 3 * 48 + 2 * 2)
    assert grid(np.zeros((1, 64, 64, channels)), DataSpec((64, 64, channels))).size == (64, 64)


def test_points_are_drawn_where_they_are() -> None:
    spec = DataSpec((2,), kind="signal", value_range=(-1.0, 1.0))
    inked = np.asarray(scatter(np.full((500, 2), 0.9), spec)).min(-1) < 100
    rows, columns = np.nonzero(inked & (np.asarray(scatter(np.full((500, 2), -0.9), spec)).min(-1) > 200))
    assert rows.size
    assert rows.max() < 100
    assert columns.min() > 380


def test_each_kind_has_its_picture() -> None:
    video = DataSpec((5, 8, 8, 3), kind="video")
    assert picture(np.zeros((2, 5, 8, 8, 3)), video).size == (5 * 48 + 4 * 2, 2 * 48 + 2)
    assert picture(np.zeros((3, 2)), DataSpec((2,), kind="signal")).size == (480, 480)
    assert picture(np.zeros((3, 4)), DataSpec((4,), kind="table", columns=tuple("abcd"))).size == (480, 480)
    assert picture(np.zeros((3, 100, 2)), DataSpec((100, 2), kind="signal", value_range=None)).size == (720, 360)
    assert not pictured(DataSpec((9,), kind="text", vocabulary=5))


def test_what_cannot_be_drawn_is_a_configuration_error() -> None:
    for samples, spec in [
        (np.zeros((0, 2, 2, 1)), GREY),
        (np.zeros((3, 2, 2)), GREY),
        (np.zeros((3, 2, 2, 2)), DataSpec((2, 2, 2))),
        (np.zeros((3, 9)), DataSpec((9,), kind="text", vocabulary=5)),
    ]:
        with pytest.raises(ConfigError):
            picture(samples, spec)
    with pytest.raises(ConfigError, match="two features"):
        scatter(np.zeros((3, 1)), DataSpec((1,), kind="signal"))


def test_a_picture_survives_its_file() -> None:
    drawn = grid(np.random.default_rng(0).random((4, 2, 2, 1)), GREY)
    with Image.open(io.BytesIO(to_bytes(drawn))) as read:
        assert (np.asarray(read) == np.asarray(drawn)).all()
