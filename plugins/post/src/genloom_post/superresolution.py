"""Enlarge pictures by what the training data teach: a small network adds the detail that a filter leaves out.

The network sees a patch of the small picture and returns the pixels that its middle becomes, as in sub-pixel
convolution (Shi et al. 2016); it is fitted on training pictures and their own reductions, and so supposes that detail
looks alike at both scales.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import Samples
from genloom.errors import ConfigError
from genloom.postprocess import Origin
from genloom_post.options import SuperResolutionOptions

__all__ = ["super_resolution"]

Floats = NDArray[np.float32]

PATCH = 5  # pixels of a patch's side
HIDDEN = 64  # units of the network
FIT_PATCHES = 100_000  # patches it is fitted on


def super_resolution(samples: Samples, options: SuperResolutionOptions, origin: Origin) -> Samples:
    """Enlarge pictures (n, height, width, channels) by `factor`.

    Raises:
        ConfigError: no value range, training data that are no pictures of these channels, or smaller than the factor.
    """
    spec, real = samples.spec, origin.dataset.spec
    if spec.value_range is None or real.value_range is None:
        raise ConfigError("These pictures have no value range to work in.", mend="Put clip before it.")
    if real.kind != "image" or real.shape[-1] != spec.shape[-1] or min(real.shape[:2]) < 2 * options.factor:
        raise ConfigError(
            f"super-resolution by {options.factor} learns from pictures of {spec.shape[-1]} channels and at least "
            f"{2 * options.factor} pixels a side, got {real.kind} of {real.shape}."
        )
    network = _fitted(_pictures(origin, options), options)
    low, high = spec.value_range
    large = _enlarged(_unit(samples.samples, spec.value_range), options.factor, network)
    made = (large * np.float32(high - low) + np.float32(low)).clip(low, high)
    return samples.replace(samples=made, spec=spec.replace(shape=made.shape[1:]))


def _pictures(origin: Origin, options: SuperResolutionOptions) -> Floats:
    """Return training pictures in [0, 1], cut to whole multiples of the factor, as many as give enough patches."""
    split, (height, width, _) = origin.dataset.train, origin.dataset.spec.shape
    rows, columns = height // options.factor, width // options.factor
    count = min(len(split), max(1, FIT_PATCHES // (rows * columns)))
    batch = split.take(np.linspace(0, len(split) - 1, count).astype(int))
    unit = _unit(batch["x"], origin.dataset.spec.value_range or (0.0, 1.0))
    return unit[:, : rows * options.factor, : columns * options.factor]


def _fitted(pictures: Floats, options: SuperResolutionOptions) -> Any:
    """Fit the network on what the filter lacks when it enlarges reduced pictures."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    small = _reduced(pictures, options.factor)
    lacking = _blocks(pictures - _filtered(small, options.factor), options.factor)
    network = MLPRegressor(
        hidden_layer_sizes=(HIDDEN,), random_state=options.seed, max_iter=options.epochs, early_stopping=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is the recipe
        network.fit(_patches(small), lacking)
    return network


def _enlarged(small: Floats, factor: int, network: Any) -> Floats:
    n, height, width, channels = small.shape
    detail = network.predict(_patches(small)).astype(np.float32).reshape(n, height, width, factor, factor, channels)
    detail = detail.transpose(0, 1, 3, 2, 4, 5).reshape(n, height * factor, width * factor, channels)
    return (_filtered(small, factor) + detail).clip(0.0, 1.0)


def _reduced(pictures: Floats, factor: int) -> Floats:
    """Return the means of factor × factor pixels."""
    n, height, width, channels = pictures.shape
    blocks = pictures.reshape(n, height // factor, factor, width // factor, factor, channels)
    return blocks.mean(axis=(2, 4))


def _filtered(small: Floats, factor: int) -> Floats:
    """Enlarge by Lanczos resampling, not clipped."""
    from PIL import Image

    n, height, width, channels = small.shape
    planes = np.moveaxis(small, -1, 1).reshape(-1, height, width)
    size = (width * factor, height * factor)
    large = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.LANCZOS))
        for plane in planes
    ]
    return np.moveaxis(np.stack(large).reshape(n, channels, size[1], size[0]), 1, -1)


def _patches(small: Floats) -> Floats:
    """Return the surroundings of each pixel (n·height·width, channels·PATCH·PATCH), edges repeated.

    The pixel itself is taken off: detail does not depend on how bright a place is.
    """
    half = PATCH // 2
    padded = np.pad(small, ((0, 0), (half, half), (half, half), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (PATCH, PATCH), axis=(1, 2))
    relative = windows - small[..., None, None]
    return relative.reshape(-1, small.shape[-1] * PATCH * PATCH)


def _blocks(large: Floats, factor: int) -> Floats:
    """Return the factor × factor pixels that each small pixel becomes (n·height·width, factor·factor·channels)."""
    n, height, width, channels = large.shape
    blocks = large.reshape(n, height // factor, factor, width // factor, factor, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(-1, factor * factor * channels)


def _unit(x: NDArray[Any], value_range: tuple[float, float]) -> Floats:
    low, high = value_range
    return ((np.asarray(x, np.float32) - low) / (high - low)).clip(0.0, 1.0).astype(np.float32)
