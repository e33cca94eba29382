"""Enlarge pictures with a resampling filter; floats stay floats, so nothing is rounded to bytes on the way."""

from __future__ import annotations

import numpy as np

from genloom.data.spec import DataSpec
from genloom.postprocess.options import UpscaleOptions

__all__ = ["upscale"]


def upscale(samples: np.ndarray, spec: DataSpec, options: UpscaleOptions) -> tuple[np.ndarray, DataSpec]:
    """Enlarge pictures (n, height, width, channels) by `factor`; sharp filters overshoot, so values are clipped."""
    height, width, channels = spec.shape
    size = (width * options.factor, height * options.factor)
    planes = np.moveaxis(np.asarray(samples, np.float32), -1, 1).reshape(-1, height, width)
    large = np.stack([_enlarge(plane, size, options.filter) for plane in planes])
    large = np.moveaxis(large.reshape(len(samples), channels, size[1], size[0]), 1, -1)  # (n, H, W, channels)
    if spec.value_range is not None:
        large = large.clip(*spec.value_range)
    return large, spec.replace(shape=(size[1], size[0], channels))


def _enlarge(plane: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    from PIL import Image

    resampling = Image.Resampling[name.upper()]
    return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, resampling), np.float32)
