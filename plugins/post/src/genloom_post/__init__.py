"""The plugin `post`: post-processors, listed without importing the libraries that do the work."""

from __future__ import annotations

from typing import Any

from genloom import Component, hookimpl
from genloom.modalities import ANY
from genloom_post import options

__all__ = ["genloom_components"]

_IMAGE, _SOUND, _MUSIC = ("image",), ("audio",), ("music",)


@hookimpl
def genloom_components() -> list[Component]:
    """Return the post-processors."""
    return [
        _post("gamma", "tone", options.GammaOptions, _IMAGE, "Lighten or darken by a power, black and white kept."),
        _post("contrast", "tone", options.ContrastOptions, _IMAGE, "Stretch or flatten about the middle of the range."),
        _post("denoise", "filters", options.DenoiseOptions, _IMAGE, "Take noise out: median, bilateral, nlm."),
        _post("sharpen", "filters", options.SharpenOptions, _IMAGE, "Sharpen by an unsharp mask."),
        _post("dequantise", "levels", options.DequantiseOptions, _IMAGE, "Spread rounded values over their steps."),
        _post("palette", "levels", options.PaletteOptions, _IMAGE, "Reduce each picture to a few colours of its own."),
        _post("normalise", "sound", options.NormaliseOptions, _SOUND, "Bring each sound to one peak."),
        _post("scale", "music", options.ScaleOptions, _MUSIC, "Move notes onto a scale."),
        _post("quantise", "music", options.QuantiseOptions, _MUSIC, "Move notes onto the beat."),
        _of_sets("reject", "selection", options.RejectOptions, (ANY,), "Keep the samples that a judge finds best."),
        _of_sets("deduplicate", "selection", options.DeduplicateOptions, (ANY,), "Leave out samples that are there."),
        _of_sets("tile", "sheets", options.TileOptions, _IMAGE, "Lay all pictures out in one."),
        _of_sets("super-resolution", "superresolution", options.SuperResolutionOptions, _IMAGE,
                 "Enlarge pictures with detail learned from the training data."),
        _of_sets("trim", "sound", options.TrimOptions, _SOUND, "Take away the silence before and after a sound."),
    ]  # fmt: skip


def _post(
    name: str, module: str, taken: type[Any], accepts: tuple[str, ...], summary: str, whole: bool = False
) -> Component:
    target = f"genloom_post.{module}:{name.replace('-', '_')}"
    return Component("postprocessor", f"post/{name}", target, summary, options=taken, accepts=accepts, whole=whole)


def _of_sets(name: str, module: str, taken: type[Any], accepts: tuple[str, ...], summary: str) -> Component:
    """Describe one that looks at all samples, or at the model and the data behind them."""
    return _post(name, module, taken, accepts, summary, whole=True)
