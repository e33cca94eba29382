"""The plugin `post`: post-processors, listed without importing the libraries that do the work."""

from __future__ import annotations

from typing import Any

from genloom import Component, hookimpl
from genloom_post import options

__all__ = ["genloom_components"]

_IMAGE, _SOUND = ("image",), ("audio",)


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
        _post("normalise", "loudness", options.NormaliseOptions, _SOUND, "Bring each sound to one peak."),
    ]  # fmt: skip


def _post(name: str, module: str, taken: type[Any], accepts: tuple[str, ...], summary: str) -> Component:
    return Component(
        "postprocessor", f"post/{name}", f"genloom_post.{module}:{name}", summary, options=taken, accepts=accepts
    )
