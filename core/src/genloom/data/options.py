"""Options of the data sources, apart from their code so that listing them imports nothing heavy."""

from __future__ import annotations

import dataclasses

from genloom.data.spec import MOST_CLASSES
from genloom.options import LARGEST_SEED, option

__all__ = ["FILTERS", "ArraysOptions", "ImagesOptions", "ToyOptions"]

FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")


@dataclasses.dataclass(frozen=True)
class ImagesOptions:
    """Options of `images:DIR`."""

    size: tuple[int, ...] | None = option(
        None,
        "side in pixels, or height,width; pictures are cropped to its shape at the centre, then resized; "
        "none: the most common size in the folder",
        minimum=1,
        maximum=16384,
    )
    channels: int | None = option(None, "1 grey, 3 RGB, 4 RGBA; none: as stored, when all agree", choices=(1, 3, 4))
    filter: str = option("lanczos", "Pillow's resampling filter; lanczos is sharpest when shrinking", choices=FILTERS)
    limit: int | None = option(
        None, "use at most this many pictures, spread evenly over the sorted list", minimum=2, maximum=10**9
    )
    test: float = option(0.1, "share held out when there are no train and test folders", minimum=0.001, maximum=0.9)
    max_pixels: int = option(
        50_000_000, "refuse pictures of more pixels: a small file may unpack to any size", minimum=1, maximum=10**10
    )
    skip_broken: bool = option(False, "leave broken pictures out, and say how many; decodes all once to find them")


@dataclasses.dataclass(frozen=True)
class ArraysOptions:
    """Options of `npz:FILE`, of `files:PATH`, and of arrays handed over in Python."""

    kind: str | None = option(
        None,
        "one of `genloom list modalities`; none: signal for (n, features), else image; of files, what reads them",
    )
    value_range: tuple[float, ...] | None = option(
        None, "lowest,highest value of a picture; none: 0,255 for bytes, else 0,1 or -1,1 or 0,255 as the data says"
    )
    levels: int | None = option(
        None,
        "values that there are, evenly from the lowest to the highest; none: counted where values are whole",
        minimum=2,
        maximum=65_536,
    )
    test: float = option(0.1, "share held out when the file has no x_test", minimum=0.001, maximum=0.9)
    classes: int | None = option(
        None, "number of classes; none: as many as are named or occur", minimum=1, maximum=MOST_CLASSES
    )
    class_names: tuple[str, ...] | None = option(None, "a name for each class, in their order; none: the file's")


@dataclasses.dataclass(frozen=True)
class ToyOptions:
    """Options of `toy:NAME`."""

    n: int = option(50_000, "training samples; a fifth as many are made for the test", minimum=5, maximum=10**8)
    sigma: float | None = option(
        None, "standard deviation of the noise; none: the customary one of each toy; shapes have none", minimum=1e-6
    )
    size: int | None = option(None, "of shapes: side in pixels; none: 16", minimum=8, maximum=64)
    seed: int = option(0, "fixes the samples", minimum=-LARGEST_SEED, maximum=LARGEST_SEED)
