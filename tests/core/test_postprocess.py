"""Post-processors change values as they say, hand the right spec on, and refuse what they cannot take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, NotFoundError, PluginError
from genloom.postprocess import Chain, Step, chain

PICTURE = DataSpec(shape=(2, 3, 2), value_range=(-1.0, 1.0))


def _pictures() -> np.ndarray:
    return np.linspace(-1.5, 1.5, 24, dtype=np.float32).reshape(2, 2, 3, 2)


def test_the_empty_chain_changes_nothing() -> None:
    samples = _pictures()
    out, spec = chain([])(samples, PICTURE)
    assert out is samples
    assert spec is PICTURE


def test_clip_to_the_data_and_to_given_ends() -> None:
    out, spec = chain(["clip"])(_pictures(), PICTURE)
    assert (out.min(), out.max(), spec.value_range) == (-1.0, 1.0, (-1.0, 1.0))
    out, spec = chain(["clip:low=0,high=0.5"])(_pictures(), PICTURE)
    assert (out.min(), out.max(), spec.value_range) == (0.0, 0.5, (0.0, 0.5))
    assert out.dtype == np.float32
    with pytest.raises(ConfigError, match="low=VALUE"):
        chain(["clip"])(_pictures(), PICTURE.replace(value_range=None))
    with pytest.raises(ConfigError, match=r"2\.0"):
        chain(["clip:low=2"])(_pictures(), PICTURE)


def test_rescale_follows_the_range_that_clip_left() -> None:
    out, spec = chain(["clip:low=0", "rescale:low=0,high=255"])(_pictures(), PICTURE)
    assert spec.value_range == (0.0, 255.0)
    assert out == pytest.approx(255 * _pictures().clip(0, 1), abs=1e-4)
    with pytest.raises(ConfigError, match="unbounded"):
        chain(["rescale"])(_pictures(), PICTURE.replace(value_range=None))


def test_threshold_leaves_two_values() -> None:
    samples = np.array([[[[-0.2, 0.0]] * 3] * 2], np.float32)
    out, _ = chain(["threshold"])(samples, PICTURE)
    assert out[0, 0, 0].tolist() == [-1.0, 1.0]
    out, _ = chain(["threshold:level=-0.5"])(samples, PICTURE)
    assert out.min() == 1.0


def test_upscale_repeats_pixels_with_the_nearest_filter() -> None:
    samples = _pictures()
    out, spec = chain(["clip", "upscale:factor=3,filter=nearest"])(samples, PICTURE)
    assert spec.shape == (6, 9, 2)
    assert out == pytest.approx(samples.clip(-1, 1).repeat(3, axis=1).repeat(3, axis=2))


def test_upscale_keeps_flat_pictures_flat_and_sharp_ones_in_range() -> None:
    flat = np.full((1, 2, 3, 2), 0.3, np.float32)
    out, _ = chain(["upscale"])(flat, PICTURE)
    assert out.shape == (1, 8, 12, 2)
    assert out == pytest.approx(np.full((1, 8, 12, 2), 0.3), abs=1e-6)
    edge = np.ones((1, 2, 3, 2), np.float32)
    edge[:, :, 0] = -1
    out, _ = chain(["upscale:filter=lanczos"])(edge, PICTURE)
    assert (out.min(), out.max()) == (-1.0, 1.0)


def test_a_kind_that_is_not_taken_is_refused_with_the_kinds_that_are() -> None:
    table = DataSpec(shape=(2,), kind="table")
    with pytest.raises(ConfigError, match="takes image, got table") as caught:
        chain(["upscale"])(np.zeros((3, 2)), table)
    assert caught.value.exit_code == 2


def test_wrong_names_options_and_shapes_are_refused() -> None:
    with pytest.raises(NotFoundError, match="upscale"):
        chain(["upscal"])
    with pytest.raises(ConfigError, match="factor"):
        chain(["upscale:facter=2"])
    with pytest.raises(ConfigError, match="lanczos"):
        chain(["upscale:filter=lancsos"])
    with pytest.raises(ConfigError, match="at least 1"):
        chain(["upscale:factor=0"])
    with pytest.raises(ConfigError, match=r"\(2, 3, 2\)"):
        chain(["clip"])(np.zeros((5, 4)), PICTURE)


def test_a_step_that_lies_about_its_shape_is_named() -> None:
    def halve(samples: np.ndarray, spec: DataSpec, options: Any) -> tuple[np.ndarray, DataSpec]:
        return samples[:, ::2], spec

    class Halve:
        id, accepts = "halve", ()

        def load(self) -> Any:
            return halve

    with pytest.raises(PluginError, match="halve"):
        Chain((Step(Halve()),))(_pictures(), PICTURE)  # type: ignore[arg-type]
