"""The post-processors keep the kit's promises, and give the values that their formulas say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genloom import DataSpec
from genloom.errors import ConfigError
from genloom.postprocess import chain
from genloom.testing import PostprocessorConformance

UNIT = DataSpec((8, 8, 1), value_range=(0.0, 1.0))
COLOUR = DataSpec((6, 5, 3), value_range=(-1.0, 1.0))
SOUND = DataSpec((64,), kind="audio", value_range=(-1.0, 1.0), rate=8000)


class _Kit(PostprocessorConformance):
    hooks = "genloom_post"
    spec = COLOUR


class TestGamma(_Kit):
    id, options = "post/gamma", {"gamma": 2.2}


class TestContrast(_Kit):
    id = "post/contrast"


class TestMedian(_Kit):
    id = "post/denoise"


class TestBilateral(_Kit):
    id, options = "post/denoise", {"method": "bilateral"}


class TestNonLocalMeans(_Kit):
    id, options = "post/denoise", {"method": "nlm"}


class TestSharpen(_Kit):
    id = "post/sharpen"


class TestDequantise(_Kit):
    id = "post/dequantise"


class TestPalette(_Kit):
    id, options = "post/palette", {"colours": 4}


class TestNormalise(_Kit):
    id, spec = "post/normalise", SOUND


def run(text: str, samples: Any, spec: DataSpec = UNIT) -> np.ndarray:
    return chain([text])(np.asarray(samples, "float32"), spec)[0]


def flat(*values: float) -> np.ndarray:
    return np.broadcast_to(np.array(values, "float32").reshape(-1, 1, 1, 1), (len(values), 8, 8, 1))


@pytest.mark.parametrize(("gamma", "expected"), [(1.0, 0.25), (0.5, 0.5), (2.0, 0.0625)])
def test_gamma_is_a_power(gamma: float, expected: float) -> None:
    assert run(f"post/gamma:gamma={gamma}", flat(0.25))[0, 0, 0, 0] == pytest.approx(expected)
    # The range is the data's own: -0.5 of [-1, 1] is a quarter.
    signed = run(f"post/gamma:gamma={gamma}", flat(-0.5), UNIT.replace(value_range=(-1.0, 1.0)))
    assert signed[0, 0, 0, 0] == pytest.approx(2 * expected - 1)


def test_contrast_turns_about_the_middle_and_is_clipped() -> None:
    out = run("post/contrast:amount=2", flat(0.5, 0.6, 0.1, 0.9))
    assert out[:, 0, 0, 0] == pytest.approx([0.5, 0.7, 0.0, 1.0])


def test_median_takes_out_a_speck_and_keeps_an_edge() -> None:
    picture = np.zeros((1, 8, 8, 1), "float32")
    picture[:, :, 4:] = 1.0
    speck = picture.copy()
    speck[0, 3, 1] = 1.0
    assert np.array_equal(run("post/denoise", speck), picture)


@pytest.mark.parametrize("method", ["bilateral", "nlm"])
def test_a_denoised_picture_is_nearer_to_the_clean_one(method: str) -> None:
    side = 32
    spec = DataSpec((side, side, 1), value_range=(0.0, 1.0))
    clean = np.zeros((1, side, side, 1), "float32")
    clean[:, 8:24, 8:24] = 0.8
    noisy = (clean + 0.08 * np.random.default_rng(0).standard_normal(clean.shape)).clip(0, 1).astype("float32")
    found = run(f"post/denoise:method={method},strength=0.08,radius=2", noisy, spec)
    assert np.square(found - clean).mean() < 0.6 * np.square(noisy - clean).mean()
    assert np.abs(found[0, 12:20, 12:20] - 0.8).mean() < 0.05  # the bright square is still there


def test_sharpen_steepens_an_edge_and_leaves_flat_parts() -> None:
    picture = np.full((1, 8, 8, 1), 0.4, "float32")
    picture[:, :, 4:] = 0.6
    out = run("post/sharpen:amount=1,radius=1", picture)
    assert out[0, 4, 4, 0] - out[0, 4, 3, 0] > 0.25
    assert out[0, 4, 0, 0] == pytest.approx(0.4, abs=1e-3)
    assert run("post/sharpen:amount=0", picture) == pytest.approx(picture)


def test_dequantised_values_fill_their_steps() -> None:
    spec = DataSpec((64, 64, 1), value_range=(0.0, 1.0))
    samples = np.repeat(np.array([0, 1, 2, 3]) / 3, 1024).reshape(1, 64, 64, 1)
    out = run("post/dequantise:levels=4", samples, spec).ravel()
    for level in range(4):
        part = out[1024 * level : 1024 * (level + 1)]
        assert level / 4 <= part.min() and part.max() <= (level + 1) / 4
        # A uniform's mean has the deviation 0.25 / √12 / 32 = 0.0023 here.
        assert part.mean() == pytest.approx((level + 0.5) / 4, abs=0.01)
    other = run("post/dequantise:levels=4,seed=1", samples, spec).ravel()
    assert not np.array_equal(out, other)


def test_a_palette_has_no_more_colours_than_asked() -> None:
    spec = DataSpec((16, 16, 3), value_range=(0.0, 1.0))
    samples = np.random.default_rng(0).random((2, 16, 16, 3))
    for picture in run("post/palette:colours=5", samples, spec):
        assert 2 <= len(np.unique(picture.reshape(-1, 3), axis=0)) <= 5
    two = np.where(np.arange(256).reshape(1, 16, 16, 1) % 2, 1.0, 0.0) * np.ones(3)
    assert run("post/palette:colours=2", two, spec) == pytest.approx(two)
    with pytest.raises(ConfigError, match="1 or 3 channels, got 4"):
        run("post/palette", np.zeros((1, 4, 4, 4)), DataSpec((4, 4, 4), value_range=(0.0, 1.0)))


def test_every_sound_gets_one_peak_and_silence_stays() -> None:
    wave = np.sin(np.arange(64) / 3)
    out = run("post/normalise:peak=0.5", np.stack([0.1 * wave, -0.9 * wave, 0 * wave]), SOUND)
    assert np.abs(out).max(axis=1) == pytest.approx([0.5, 0.5, 0.0])
    assert out[0] == pytest.approx(-out[1])


@pytest.mark.parametrize("name", ["gamma", "contrast", "denoise", "sharpen", "dequantise", "palette"])
def test_pictures_without_a_range_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="clip"):
        run(f"post/{name}", flat(0.5), UNIT.replace(value_range=None))


def test_a_sound_is_no_picture() -> None:
    with pytest.raises(ConfigError, match="takes image, got audio"):
        run("post/gamma", np.zeros((1, 64)), SOUND)
