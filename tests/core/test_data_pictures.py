"""Every turn and mode that Pillow reads: the pixels are those of the picture as it is looked at, or it is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genloom.data.sources import images
from genloom.data.sources.images import open_images
from genloom.errors import DataError

pytestmark = pytest.mark.any_engine

#: Orientation → what turns the stored rows into the picture (EXIF 2.32, table 4).
TURNS: dict[int, Any] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


def twice(folder: Path, picture: Image.Image, ending: str, **options: Any) -> Path:
    """Save a picture under two names, since one alone makes no data set."""
    for name in ("a", "b"):
        picture.save(folder / f"{name}{ending}", **options)
    return folder


def opened(folder: Path, **options: Any) -> np.ndarray:
    """Return the first picture in bytes, (height, width, channels)."""
    return np.rint(open_images(str(folder), **options).train.arrays()["x"][0] * 255).astype(int)


def quadrants(height: int = 20, width: int = 40) -> np.ndarray:
    """Four flat colours, which JPEG keeps to a few levels: red, green / blue, white."""
    x = np.zeros((height, width, 3), np.uint8)
    x[: height // 2, : width // 2, 0] = 255
    x[: height // 2, width // 2 :, 1] = 255
    x[height // 2 :, : width // 2, 2] = 255
    x[height // 2 :, width // 2 :] = 255
    return x


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_picture_is_upright_and_whole(tmp_path, monkeypatch, orientation, ending, kept):
    if not kept:
        monkeypatch.setattr(images, "_KEEP_PIXELS", 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = quadrants()
    how = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(ending, {})
    x = opened(twice(tmp_path, Image.fromarray(stored), ending, exif=exif, **how))
    wanted = TURNS[orientation](stored)
    assert x.shape == wanted.shape == ((20, 40, 3) if orientation < 5 else (40, 20, 3))
    corners = np.ix_([0, -1], [0, -1])
    np.testing.assert_allclose(x[corners], wanted[corners].astype(int), atol=3 if ending == ".jpg" else 0)


@pytest.mark.parametrize("orientation", [3, 6])
def test_deep_grey_is_turned_too(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = (np.arange(6, dtype=np.uint16) * 257 * 10).reshape(2, 3)
    x = opened(twice(tmp_path, Image.fromarray(stored), ".png", exif=exif))
    np.testing.assert_array_equal(x[..., 0], TURNS[orientation]((np.arange(6) * 10).reshape(2, 3)))


#: A mode → a pixel of it, and the channels it is read as.
EIGHT_BITS = {
    "1": (1, [255]),
    "L": (99, [99]),
    "LA": ((99, 50), [99, 99, 99, 50]),
    "PA": ((1, 50), [10, 20, 30, 50]),
    "P": (1, [10, 20, 30]),
    "RGB": ((10, 20, 30), [10, 20, 30]),
    "RGBA": ((10, 20, 30, 40), [10, 20, 30, 40]),
    "CMYK": ((255, 0, 0, 0), [0, 255, 255]),
}


@pytest.mark.parametrize("mode", EIGHT_BITS)
def test_a_mode_of_eight_bits(tmp_path, mode):
    pixel, wanted = EIGHT_BITS[mode]
    picture = Image.new(mode, (3, 2))
    if mode in ("P", "PA"):
        picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.paste(pixel, (0, 0, 3, 2))
    twice(tmp_path, picture, ".tif")
    with Image.open(tmp_path / "a.tif") as stored:
        assert stored.mode == mode
    assert opened(tmp_path)[1, 2].tolist() == wanted


def test_ycbcr(tmp_path):
    picture = Image.new("RGB", (3, 2), (250, 120, 30)).convert("YCbCr")
    assert opened(twice(tmp_path, picture, ".tif"))[0, 0] == pytest.approx([250, 120, 30], abs=2)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_palette_with_a_transparent_colour(tmp_path, channels):
    picture = Image.new("P", (3, 2), 1)
    picture.putpalette([0, 0, 0, 200, 200, 200])
    twice(tmp_path, picture, ".png", transparency=bytes([0, 77]))
    assert open_images(str(tmp_path)).spec.shape == (2, 3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            opened(tmp_path, channels=channels)[0, 0].tolist()
            == {1: [200], 3: [200] * 3, 4: [200, 200, 200, 77]}[channels]
        )


@pytest.mark.parametrize(
    ("levels", "ending", "wanted"),
    [
        (np.array([[0, 257], [32_896, 65_535]], np.uint16), ".png", [[0, 1], [128, 255]]),
        (np.array([[0, 257], [32_896, 65_535]], np.uint16), ".tif", [[0, 1], [128, 255]]),
        (np.array([[0, 257], [32_896, 65_535]], np.uint16), ".pgm", [[0, 1], [128, 255]]),
        (np.array([[0, 0.1], [0.5, 1]], np.float32), ".tif", [[0, 26], [128, 255]]),
    ],
)
def test_levels_finer_than_bytes(tmp_path, levels, ending, wanted):
    twice(tmp_path, Image.fromarray(levels), ending)
    assert opened(tmp_path)[..., 0].tolist() == wanted
    assert open_images(str(tmp_path)).notes == (
        "2 of 2 pictures have levels finer than bytes and were rounded to those.",
    )
    np.testing.assert_array_equal(opened(tmp_path, channels=3), np.repeat(np.array(wanted)[..., None], 3, axis=2))


def test_a_tiff_whose_white_is_zero(tmp_path):
    levels = Image.fromarray(np.array([[0, 65_535]], np.uint16))
    twice(tmp_path, levels, ".tif", tiffinfo={262: 0})
    assert opened(tmp_path)[..., 0].tolist() == [[255, 0]]


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (Image.fromarray(np.array([[0, 70_000]], np.int32)), r"holds whole numbers of 32 bits.*16 bits and no sign"),
        (Image.fromarray(np.array([[0, 200]], np.float32)), r"has values from 0 to 200: .*floats from 0 to 1"),
        (Image.fromarray(np.array([[0, np.nan]], np.float32)), r"has values from nan to nan: .*floats from 0 to 1"),
        (Image.new("LAB", (2, 2)), r"is in LAB\. Save it as RGB; Pillow's modes read are 1, L, P, RGB"),
    ],
)
def test_a_mode_or_levels_that_mean_nothing_known_are_refused_by_name(tmp_path, picture, words):
    twice(tmp_path, picture, ".tif")
    with pytest.raises(DataError, match=rf"a\.tif {words}"):
        open_images(str(tmp_path), skip_broken=True)
