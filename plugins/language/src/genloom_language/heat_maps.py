"""Weights of attention as a picture: a row of heat maps for each layer, one for each head, on one scale of colour."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = ["heat_maps", "tokens_that_fit"]

# All sizes are pixels. A report shows 1,200 at most, and less of a page's width.
_WIDEST, _HIGHEST = 1200, 1150
_LEFT, _RIGHT, _TOP, _BOTTOM = 100, 90, 44, 70  # at most: labels may be shorter
_GAP, _MAP = 14, 460
_DPI = 100
_LETTER = 11  # a token's label: smaller ones are not read
_TOKENS = 32  # more are not looked at one by one
_LABEL = 6  # letters of a token that a label shows

_PAPER, _INK, _QUIET = "#fdfdfc", "#1d2129", "#6b7280"  # the report's
_COLOURS = ("#edf0fa", "#8fa1e3", "#3d56c5", "#141d4d")
_TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)


def tokens_that_fit(layers: int, heads: int) -> int:
    """Return how many tokens can be labelled."""
    return max(2, min(_TOKENS, _side(layers, heads) // _LETTER))


def heat_maps(weights: NDArray[np.floating[Any]], labels: Sequence[str], numbers: Sequence[int]) -> Image:
    """Draw what each token (down) looks at (across).

    Args:
        weights: (layers, heads, t, m + t) in [0, 1]; what comes after a token is left blank.
        labels: m + t texts of tokens.
        numbers: of the layers.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm
    from matplotlib.figure import Figure
    from PIL import Image

    layers, heads, t, columns = weights.shape
    names = [_shown(label) for label in labels]
    side = _side(layers, heads)
    letter = min(12.5, 0.9 * side / columns)
    long = 0.62 * letter * max(map(len, names))  # of the longest label
    left, below = 48 + long, 22 + long
    width = max(640, left + heads * (side + _GAP) + _RIGHT)  # a narrower one would be enlarged
    height = _TOP + layers * (side + _GAP) + below
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=_PAPER)
    colours = LinearSegmentedColormap.from_list("ink", _COLOURS)
    later = np.arange(columns)[None] > np.arange(t)[:, None] + columns - t
    for row, column in np.ndindex(layers, heads):
        x, y = left + column * (side + _GAP), height - _TOP - side - row * (side + _GAP)
        axes = figure.add_axes((x / width, y / height, side / width, side / height), facecolor=_PAPER)
        # A square root: of a weight that is spread over many tokens each part is still seen.
        norm = PowerNorm(0.5, 0.0, 1.0)
        drawn = axes.imshow(np.where(later, np.nan, weights[row, column]), cmap=colours, norm=norm, aspect="auto")
        _tidy(axes, _points(letter))
        axes.set_yticks(range(t), names[columns - t :] if column == 0 else [""] * t)
        axes.set_xticks(range(columns), names if row == layers - 1 else [""] * columns)
        for tick, name in zip(axes.get_xticklabels(), names, strict=True):
            tick.set_rotation(90 if len(name) > 1 else 0)
        if row == 0:
            axes.set_title(f"head {column + 1}", fontsize=_points(14), color=_QUIET, pad=7)
        if column == 0:
            middle = (y + side / 2) / height
            title = f"layer {numbers[row]}"
            figure.text(14 / width, middle, title, rotation=90, va="center", fontsize=_points(15), color=_INK)
    _scale(figure, drawn, left + heads * (side + _GAP), side, (width, height))
    FigureCanvasAgg(figure)  # draws without a screen
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=_PAPER)
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")


def _side(layers: int, heads: int) -> int:
    across = (_WIDEST - _LEFT - _RIGHT) // heads - _GAP
    down = (_HIGHEST - _TOP - _BOTTOM) // layers - _GAP
    return min(_MAP, across, down)


def _points(pixels: float) -> float:
    return pixels * 72 / _DPI


def _tidy(axes: Any, size: float) -> None:
    axes.tick_params(length=0, pad=3, labelsize=size, labelcolor=_INK, labelfontfamily="monospace")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _scale(figure: Figure, drawn: Any, left: float, side: int, size: tuple[float, float]) -> None:
    width, height = size
    high = min(side, 200)
    axes = figure.add_axes(((left + 12) / width, 1 - (_TOP + high) / height, 10 / width, high / height))
    bar = figure.colorbar(drawn, cax=axes, ticks=_TICKS)
    bar.ax.set_yticklabels([f"{tick:g}" for tick in _TICKS])
    bar.ax.tick_params(length=0, labelsize=_points(11), labelcolor=_QUIET)
    bar.outline.set_visible(False)


def _shown(label: str) -> str:
    """Return a token's text as one short word: white space has signs, and what the font has not is a dot."""
    signs = {"\n": "↵", " ": "␣", "\t": "⇥"}
    text = "".join(signs.get(letter, letter if _has(letter) else "·") for letter in label)
    text = text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"
    return text.replace("$", r"\$")  # which matplotlib reads as the beginning of a formula


@functools.cache
def _has(letter: str) -> bool:
    from matplotlib.font_manager import findfont, get_font

    return letter.isprintable() and get_font(findfont("DejaVu Sans Mono")).get_char_index(ord(letter)) > 0
