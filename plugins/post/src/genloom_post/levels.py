"""Steps between values: dequantise spreads what was rounded, palette leaves a few colours."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import DataSpec
from genloom.errors import ConfigError
from genloom_post.options import DequantiseOptions, PaletteOptions
from genloom_post.unit import Floats, each_picture

__all__ = ["dequantise", "palette"]


def dequantise(samples: NDArray[Any], spec: DataSpec, options: DequantiseOptions) -> tuple[NDArray[Any], DataSpec]:
    """Add noise of one step, uniform, so that the values of k levels fill the range (Theis et al. 2016, section 3.1).

    Level i of k goes to [i/k, (i+1)/k). The noise of a sample follows from the seed and the sample itself.
    """

    def spread(picture: Floats) -> NDArray[Any]:
        level = np.rint(picture * (options.levels - 1))
        digest = hashlib.sha256(level.tobytes() + str(options.seed).encode()).digest()
        noise = np.random.default_rng(int.from_bytes(digest[:8], "little")).random(picture.shape)
        return (level + noise) / options.levels

    return each_picture(samples, spec, spread), spec


def palette(samples: NDArray[Any], spec: DataSpec, options: PaletteOptions) -> tuple[NDArray[Any], DataSpec]:
    """Reduce each picture to its own best colours, by Pillow's median cut.

    Raises:
        ConfigError: pictures of neither 1 nor 3 channels.
    """
    from PIL import Image

    channels = spec.shape[-1]
    if channels not in (1, 3):
        raise ConfigError(f"palette takes pictures of 1 or 3 channels, got {channels}.")

    def reduced(picture: Floats) -> NDArray[Any]:
        pixels = np.rint(np.broadcast_to(picture, (*picture.shape[:2], 3)) * 255).astype(np.uint8)
        few = Image.fromarray(pixels).quantize(options.colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        return np.asarray(few.convert("RGB"), np.float32)[..., :channels] / 255

    return each_picture(samples, spec, reduced), spec
