"""How samples are drawn: grids of images, points, lines.

Pillow and matplotlib are imported when a picture is drawn, so importing this file stays cheap.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from genloom.data.spec import DataSpec

__all__ = ["checked", "grid", "lines", "scatter", "to_bytes"]

GUTTER = 2  # pixels between two tiles
CAPTION, LETTERS = 14, 10  # pixels: height of a line under a tile, and of its letters
SMALLEST_TILE = 48  # pixels: smaller pictures are enlarged by a whole factor, so that pixels stay square
SERIES_SHOWN = 24  # more lines in one plot hide each other
INK = "#4c63d2"


def grid(
    samples: np.ndarray[Any, Any],
    spec: DataSpec,
    columns: int | None = None,
    scale: int | None = None,
    captions: Sequence[str] = (),
) -> Image:
    """Lay images out in rows, two pixels apart.

    Args:
        samples: (n, height, width, channels) with 1, 3 or 4 channels, in `spec.value_range`; values outside
            the range are clipped, unbounded ones are stretched from their own lowest to their highest.
        spec: what one sample is.
        columns: tiles per row; by default the most nearly square layout.
        scale: whole enlargement factor, nearest neighbour; by default small pictures grow to about 48 pixels.
        captions: a line under each image, cut to its width; none by default.

    Returns:
        A picture of mode L, RGB or RGBA.

    Raises:
        ConfigError: no samples, another shape, or another number of channels.
    """
    from PIL import Image

    pixels = _pixels(checked(samples, spec), spec)  # (n, h, w, c) uint8
    count, height, width, channels = pixels.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    scale = scale or max(1, math.ceil(SMALLEST_TILE / max(height, width)))
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)  # (n, h * scale, w * scale, c)
    step_y, step_x = height * scale + GUTTER + (CAPTION if captions else 0), width * scale + GUTTER
    sheet = np.full((rows * step_y - GUTTER, columns * step_x - GUTTER, channels), 255, np.uint8)
    for index, tile in enumerate(pixels):
        y, x = (index // columns) * step_y, (index % columns) * step_x
        sheet[y : y + height * scale, x : x + width * scale] = tile
    image = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
    for index, caption in enumerate(captions):
        x, y = (index % columns) * step_x, (index // columns) * step_y + height * scale
        _write(image, caption, (x, y), width * scale)
    return image


def _write(image: Image, text: str, corner: tuple[int, int], width: int) -> None:
    """Write a line of small grey letters, centred, its end left out where it is too wide."""
    from PIL import ImageDraw, ImageFont

    font: Any = ImageFont.load_default(size=LETTERS)
    kept = next((text[:k] for k in range(len(text), 0, -1) if font.getlength(text[:k]) <= width), "")
    grey: Any = {"L": 90, "RGB": (90, 90, 90), "RGBA": (90, 90, 90, 255)}[image.mode]
    place = (corner[0] + width / 2, corner[1] + CAPTION / 2)
    ImageDraw.Draw(image).text(place, kept, fill=grey, font=font, anchor="mm")


def scatter(samples: np.ndarray[Any, Any], spec: DataSpec, *, plane: bool = True) -> Image:
    """Draw points in the plane: the first two features of each sample.

    Args:
        samples: (n, features) with at least two features.
        spec: its `value_range`, when bounded, fixes the axes so that pictures of one run can be compared;
            its `columns` name them.
        plane: whether both axes have one unit; each is stretched over the picture otherwise.

    Returns:
        A square RGB picture of 480 pixels.

    Raises:
        ConfigError: no samples, another shape, or fewer than two features.
    """
    samples = checked(samples, spec)
    if samples.ndim != 2 or samples.shape[1] < 2:
        raise ConfigError(f"A scatter plot needs samples of two features or more, got shape {spec.shape}.")
    figure, axes = _axes((4.8, 4.8))
    opacity = min(0.9, max(0.25, 40 / math.sqrt(len(samples)) / 2))
    axes.scatter(samples[:, 0], samples[:, 1], s=7, alpha=opacity, color=INK, linewidths=0)
    if plane:
        axes.set_aspect("equal", adjustable="datalim" if spec.value_range is None else "box")
        if spec.value_range is not None:
            axes.set_xlim(spec.value_range)
            axes.set_ylim(spec.value_range)
    if len(spec.columns) >= 2:
        axes.set_xlabel(spec.columns[0])
        axes.set_ylabel(spec.columns[1])
    return _rendered(figure)


def lines(samples: np.ndarray[Any, Any], spec: DataSpec) -> Image:
    """Draw one line per sample over time, the first channel of the first samples.

    Args:
        samples: (n, time) or (n, time, channels).
        spec: its `rate`, in Hz, turns the axis into seconds.

    Returns:
        An RGB picture of 720 × 360 pixels.

    Raises:
        ConfigError: no samples or another shape.
    """
    samples = checked(samples, spec)[:SERIES_SHOWN]
    series = samples.reshape(*samples.shape[:2], -1)[..., 0]  # (n, time)
    time = np.arange(series.shape[1]) / (spec.rate or 1.0)
    figure, axes = _axes((7.2, 3.6))
    axes.plot(time, series.T, color=INK, alpha=0.5, linewidth=1.0)
    axes.set_xlabel("seconds" if spec.rate else "position")
    return _rendered(figure)


def to_bytes(image: Image) -> bytes:
    """Return the picture as a PNG file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def checked(samples: np.ndarray[Any, Any], spec: DataSpec) -> np.ndarray[Any, Any]:
    """Return samples as an array of the spec's shape.

    Raises:
        ConfigError: another shape, or none.
    """
    samples = np.asarray(samples)
    if samples.shape[1:] != tuple(spec.shape) or not len(samples):
        raise ConfigError(f"A picture needs samples of shape (n, *{spec.shape}), got {samples.shape}.")
    return samples


def _pixels(samples: np.ndarray[Any, Any], spec: DataSpec) -> np.ndarray[Any, Any]:
    """Map (n, h, w, c) samples from the value range to bytes; NaN shows as the lowest value."""
    if samples.ndim != 4 or samples.shape[-1] not in (1, 3, 4):
        raise ConfigError(f"A grid needs (height, width, channels) with 1, 3 or 4 channels, got {spec.shape}.")
    values = samples.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = spec.value_range or ((finite.min(), finite.max()) if finite.size else (0.0, 1.0))
    unit = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1.0)
    pixels: np.ndarray[Any, Any] = np.rint(np.clip(unit, 0.0, 1.0) * 255).astype(np.uint8)
    return pixels


def _axes(inches: tuple[float, float]) -> tuple[Figure, Any]:
    """Return a figure without pyplot's global state, so that drawing has no side effects."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, color="#999999")
    return figure, axes


def _rendered(figure: Figure) -> Image:
    from PIL import Image

    canvas: Any = figure.canvas
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
