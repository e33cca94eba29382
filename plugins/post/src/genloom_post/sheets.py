"""Many pictures in one."""

from __future__ import annotations

import math

import numpy as np

from genloom import Samples
from genloom.postprocess import Origin
from genloom_post.options import TileOptions

__all__ = ["tile"]


def tile(samples: Samples, options: TileOptions, origin: Origin) -> Samples:
    """Lay pictures (n, height, width, channels) out in rows of one picture, the last row filled up."""
    pictures, spec = samples.samples, samples.spec
    n, (height, width, channels) = len(pictures), spec.shape
    columns = min(options.columns, n) or math.ceil(math.sqrt(n))
    rows, gap = math.ceil(n / columns), options.padding
    low, high = spec.value_range or (float(pictures.min()), float(pictures.max()))
    fill = low + options.fill * (high - low)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), fill, np.float32)
    for index, picture in enumerate(pictures):
        y, x = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    # One picture of many classes has no class, and no one seed draws it again.
    unlabelled = spec.replace(shape=sheet.shape, classes=0, class_names=(), class_frequencies=(), condition=())
    return samples.replace(samples=sheet[None], labels=None, seeds=None, spec=unlabelled)
