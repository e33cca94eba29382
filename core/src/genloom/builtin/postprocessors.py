"""The core's post-processors, light enough for `genloom list`: nothing here imports what it names."""

from __future__ import annotations

from genloom.modalities import NUMERIC
from genloom.plugins.offers import Component
from genloom.postprocess.options import ClipOptions, RescaleOptions, ThresholdOptions, UpscaleOptions

__all__ = ["COMPONENTS"]

#: The core's post-processors.
COMPONENTS: tuple[Component, ...] = (
    Component(
        "postprocessor",
        "clip",
        "genloom.postprocess.values:clip",
        "Bring values outside a range to its ends.",
        options=ClipOptions,
        accepts=(NUMERIC,),
    ),
    Component(
        "postprocessor",
        "rescale",
        "genloom.postprocess.values:rescale",
        "Map the value range to another one.",
        options=RescaleOptions,
        accepts=(NUMERIC,),
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
