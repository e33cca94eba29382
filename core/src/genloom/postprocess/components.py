"""The core's post-processors and their options, light enough for `genloom list`."""

from __future__ import annotations

import dataclasses

from genloom.options import option
from genloom.plugins.offers import Component

__all__ = ["COMPONENTS", "ClipOptions", "RescaleOptions", "ThresholdOptions", "UpscaleOptions"]

# Tokens and notes are names, not amounts: arithmetic on them means nothing.
_NUMERIC = ("image", "audio", "video", "signal", "table")


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


#: The core's post-processors.
COMPONENTS: tuple[Component, ...] = (
    Component(
        "postprocessor",
        "clip",
        "genloom.postprocess.values:clip",
        "Bring values outside a range to its ends.",
        options=ClipOptions,
        accepts=_NUMERIC,
    ),
    Component(
        "postprocessor",
        "rescale",
        "genloom.postprocess.values:rescale",
        "Map the value range to another one.",
        options=RescaleOptions,
        accepts=_NUMERIC,
    ),
    Component(
        "postprocessor",
        "threshold",
        "genloom.postprocess.values:threshold",
        "Turn grey into black and white.",
        options=ThresholdOptions,
        accepts=("image", "video"),
    ),
    Component(
        "postprocessor",
        "upscale",
        "genloom.postprocess.upscaling:upscale",
        "Enlarge pictures with a filter.",
        options=UpscaleOptions,
        accepts=("image",),
    ),
)
