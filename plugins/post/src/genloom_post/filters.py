"""Filters that look at a pixel's surroundings, by scikit-image and SciPy, one picture at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import DataSpec
from genloom_post.options import DenoiseOptions, SharpenOptions
from genloom_post.unit import Floats, each_picture

__all__ = ["denoise", "sharpen"]


def denoise(samples: NDArray[Any], spec: DataSpec, options: DenoiseOptions) -> tuple[NDArray[Any], DataSpec]:
    """Take noise out of pictures (n, height, width, channels).

    median: of the square about each pixel, channel by channel. bilateral: Tomasi and Manduchi 1998. nlm: non-local
    means, Buades et al. 2005.
    """
    return each_picture(samples, spec, lambda picture: _denoised(picture, options)), spec


def sharpen(samples: NDArray[Any], spec: DataSpec, options: SharpenOptions) -> tuple[NDArray[Any], DataSpec]:
    """Return u + a (u − blurred u), clipped to the range."""
    from scipy import ndimage

    def sharper(picture: Floats) -> NDArray[Any]:
        blurred = ndimage.gaussian_filter(picture, sigma=(options.radius, options.radius, 0.0), mode="nearest")
        return picture + options.amount * (picture - blurred)

    return each_picture(samples, spec, sharper), spec


def _denoised(picture: Floats, options: DenoiseOptions) -> NDArray[Any]:
    from scipy import ndimage
    from skimage import restoration

    if options.method == "median":
        side = 2 * options.radius + 1
        return np.asarray(ndimage.median_filter(picture, size=(side, side, 1), mode="nearest"))
    if options.method == "bilateral":
        planes = [
            restoration.denoise_bilateral(
                np.ascontiguousarray(plane), sigma_color=options.strength, sigma_spatial=options.radius
            )
            for plane in np.moveaxis(picture, -1, 0)
        ]
        return np.stack(planes, axis=-1)
    # Small pictures have room for small patches only: of 3 × 3, searched 5 pixels far.
    found: NDArray[Any] = restoration.denoise_nl_means(
        picture, patch_size=3, patch_distance=5, h=options.strength, sigma=options.strength, channel_axis=-1
    )
    return found.reshape(picture.shape)  # scikit-image drops a single channel
