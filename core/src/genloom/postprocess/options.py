"""The options of the core's post-processors."""

from __future__ import annotations

import dataclasses

from genloom.options import option

__all__ = ["ClipOptions", "RescaleOptions", "ThresholdOptions", "UpscaleOptions"]


@dataclasses.dataclass(frozen=True)
class ClipOptions:
    """Options of `clip`."""

    low: float | None = option(None, "lowest value; the data's own when absent")
    high: float | None = option(None, "highest value; the data's own when absent")


@dataclasses.dataclass(frozen=True)
class RescaleOptions:
    """Options of `rescale`."""

    low: float = option(0.0, "where the lowest value goes")
    high: float = option(1.0, "where the highest value goes")


@dataclasses.dataclass(frozen=True)
class ThresholdOptions:
    """Options of `threshold`."""

    level: float | None = option(None, "values at or above it become the highest; the middle of the range when absent")


@dataclasses.dataclass(frozen=True)
class UpscaleOptions:
    """Options of `upscale`."""

    factor: int = option(4, "how many times larger each side becomes", minimum=1, maximum=64)
    filter: str = option(
        "lanczos",
        "lanczos is the sharpest, nearest keeps the pixels",
        choices=("nearest", "bilinear", "bicubic", "lanczos"),
    )
