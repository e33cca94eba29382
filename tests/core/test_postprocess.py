"""Post-processors change values as they say, hand the right spec on, and refuse what they cannot take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genloom.data.samples import Samples
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, NotFoundError, PluginError
from genloom.postprocess import Chain, Origin, Step, chain

pytestmark = pytest.mark.any_engine

PICTURE = DataSpec(shape=(2, 3, 2), value_range=(-1.0, 1.0))


def _pictures() -> np.ndarray:
    return np.linspace(-1.5, 1.5, 24, dtype=np.float32).reshape(2, 2, 3, 2)


def _run(texts: list[str], samples: Any, spec: DataSpec = PICTURE) -> tuple[np.ndarray, DataSpec]:
    made = chain(texts)(Samples(samples, spec))
    return made.samples, made.spec


def test_the_empty_chain_changes_nothing() -> None:
    samples = Samples(_pictures(), PICTURE)
    assert chain([])(samples) is samples


def test_clip_to_the_data_and_to_given_ends() -> None:
    out, spec = _run(["clip"], _pictures(), PICTURE)
    assert (out.min(), out.max(), spec.value_range) == (-1.0, 1.0, (-1.0, 1.0))
    out, spec = _run(["clip:low=0,high=0.5"], _pictures(), PICTURE)
    assert (out.min(), out.max(), spec.value_range) == (0.0, 0.5, (0.0, 0.5))
    assert out.dtype == np.float32
    with pytest.raises(ConfigError, match="low=VALUE"):
        _run(["clip"], _pictures(), PICTURE.replace(value_range=None))
    with pytest.raises(ConfigError, match=r"low < high, got 2\.0 and 1\.0"):
        _run(["clip:low=2"], _pictures(), PICTURE)


def test_rescale_follows_the_range_that_clip_left() -> None:
    out, spec = _run(["clip:low=0", "rescale:low=0,high=255"], _pictures(), PICTURE)
    assert spec.value_range == (0.0, 255.0)
    assert out == pytest.approx(255 * _pictures().clip(0, 1), abs=1e-4)
    with pytest.raises(ConfigError, match="unbounded"):
        _run(["rescale"], _pictures(), PICTURE.replace(value_range=None))


def test_threshold_leaves_two_values() -> None:
    samples = np.array([[[[-0.2, 0.0]] * 3] * 2], np.float32)
    out, _ = _run(["threshold"], samples, PICTURE)
    assert out[0, 0, 0].tolist() == [-1.0, 1.0]
    out, _ = _run(["threshold:level=-0.5"], samples, PICTURE)
    assert out.min() == 1.0


def test_upscale_repeats_pixels_with_the_nearest_filter() -> None:
    samples = _pictures()
    out, spec = _run(["clip", "upscale:factor=3,filter=nearest"], samples, PICTURE)
    assert spec.shape == (6, 9, 2)
    assert out == pytest.approx(samples.clip(-1, 1).repeat(3, axis=1).repeat(3, axis=2))


def test_upscale_keeps_flat_pictures_flat_and_sharp_ones_in_range() -> None:
    flat = np.full((1, 2, 3, 2), 0.3, np.float32)
    out, _ = _run(["upscale"], flat, PICTURE)
    assert out.shape == (1, 8, 12, 2)
    assert out == pytest.approx(np.full((1, 8, 12, 2), 0.3), abs=1e-6)
    edge = np.ones((1, 2, 3, 2), np.float32)
    edge[:, :, 0] = -1
    out, _ = _run(["upscale:filter=lanczos"], edge, PICTURE)
    assert (out.min(), out.max()) == (-1.0, 1.0)


def test_a_kind_that_is_not_taken_is_refused_with_the_kinds_that_are() -> None:
    table = DataSpec(shape=(2,), kind="table")
    with pytest.raises(ConfigError, match="takes image, got table") as caught:
        _run(["upscale"], np.zeros((3, 2)), table)
    assert caught.value.exit_code == 2


def test_wrong_names_options_and_shapes_are_refused() -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'upscale'"):
        chain(["upscal"])
    with pytest.raises(ConfigError, match="Did you mean 'upscale:factor'"):
        chain(["upscale:facter=2"])
    with pytest.raises(ConfigError, match="Did you mean 'lanczos'"):
        chain(["upscale:filter=lancsos"])
    with pytest.raises(ConfigError, match="at least 1"):
        chain(["upscale:factor=0"])
    with pytest.raises(ConfigError, match=r"\(2, 3, 2\)"):
        _run(["clip"], np.zeros((5, 4)), PICTURE)


def test_a_step_that_lies_about_its_shape_is_named() -> None:
    def halve(samples: np.ndarray, spec: DataSpec, options: Any) -> tuple[np.ndarray, DataSpec]:
        return samples[:, ::2], spec

    class Halve:
        id, accepts, whole = "halve", (), False

        def load(self) -> Any:
            return halve

    with pytest.raises(PluginError, match=r"'halve' returned samples of shape \(1, 3, 2\)"):
        Chain((Step(Halve()),))(Samples(_pictures(), PICTURE))  # type: ignore[arg-type]


class _Whole:
    """A post-processor of whole sets, as a component declares it."""

    id, accepts, whole = "mine/whole", (), True

    def __init__(self, function: Any) -> None:
        self.function = function

    def load(self) -> Any:
        return self.function

    def __call__(self, samples: Samples, origin: Origin | None = None) -> Samples:
        return Chain((Step(self),))(samples, origin)  # type: ignore[arg-type]


LABELLED = Samples(_pictures(), PICTURE, np.array([4, 7]), np.array([[3, 0], [3, 1]]))


def test_what_is_left_out_takes_its_label_and_seed_along() -> None:
    made = _Whole(lambda samples, options, origin: samples.take([1]))(LABELLED)
    assert np.array_equal(made.samples, LABELLED.samples[1:])
    assert (made.labels.tolist(), made.seeds.tolist()) == ([7], [[3, 1]])
    assert len(LABELLED.take(np.array([True, False]))) == 1


def test_a_set_that_does_not_hold_together_or_is_empty_is_refused() -> None:
    torn = _Whole(lambda samples, options, origin: samples.replace(samples=samples.samples[:1]))
    with pytest.raises(PluginError, match="1 samples and 2 labels"):
        torn(LABELLED)
    with pytest.raises(ConfigError, match="left none of 2 samples"):
        _Whole(lambda samples, options, origin: samples.take([]))(LABELLED)


def test_without_a_run_the_origin_says_what_is_missing() -> None:
    for asked in ("model", "dataset"):
        with pytest.raises(ConfigError, match="not known which"):
            _Whole(lambda samples, options, origin, asked=asked: getattr(origin, asked))(LABELLED)
