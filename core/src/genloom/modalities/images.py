"""Pictures, and videos as rows of pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from genloom.errors import DataError
from genloom.modalities.drawing import checked, grid
from genloom.modalities.modality import Modality

if TYPE_CHECKING:
    from PIL.Image import Image

    from genloom.data.samples import Samples
    from genloom.data.spec import DataSpec
    from genloom.modalities.modality import Writer

__all__ = ["IMAGE", "VIDEO"]

BYTES = (0.0, 255.0)  # lowest and highest level
FRAME_MS = 120  # milliseconds that one picture of an animation is shown


class _Levels(Modality):
    """Levels of light, in one, three or four channels."""

    axes: ClassVar[tuple[str, ...]]
    """Of samples without channels."""

    def shaped(self, x: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
        """Give grey levels their channel."""
        plain, grey = len(self.axes), ", ".join(self.axes)
        if x.ndim not in (plain, plain + 1):
            raise DataError(f"{name} has the shape {x.shape}.", mend=f"Use ({grey}) or ({grey}, channels).")
        if x.ndim > plain and x.shape[-1] not in (1, 3, 4):
            raise DataError(f"{name} has {x.shape[-1]} channels.", mend="Put 1, 3 or 4 channels on the last axis.")
        return x[..., None] if x.ndim == plain else x

    def span(self, x: np.ndarray[Any, Any], name: str) -> tuple[float, float]:
        """Bytes go from 0 to 255; of others the first of [0, 1], [-1, 1] and [0, 255] that fits."""
        if x.dtype == np.uint8:
            return BYTES
        low, high = float(x.min()), float(x.max())
        levels = high >= BYTES[1] / 10 or bool((x == np.floor(x)).all())
        for bounds in ((0.0, 1.0), (-1.0, 1.0), *([BYTES] if levels else [])):
            if bounds[0] <= low and high <= bounds[1]:
                return bounds
        raise DataError(f"{name}: pictures have values from {low:g} to {high:g}.")


class _Image(_Levels):
    in_rows = True
    axes = ("n", "h", "w")

    def ending(self, drawn: Samples) -> str:
        """Return that of a picture."""
        return ".png"

    def pictured(self, spec: DataSpec) -> bool:
        """Images have one."""
        return True

    def picture(
        self,
        samples: np.ndarray[Any, Any],
        spec: DataSpec,
        columns: int | None = None,
        labels: np.ndarray[Any, Any] | None = None,
    ) -> Image:
        """Lay images out in rows, in the order of their classes, each over its class's name."""
        samples = checked(samples, spec)
        if labels is None:
            return grid(samples, spec, columns)
        order = np.argsort(labels, kind="stable")
        return grid(samples[order], spec, columns, captions=[spec.class_name(label) for label in labels[order]])

    def writers(self) -> Mapping[str, Writer]:
        """Write an animation of one image after the other."""
        return {".gif": lambda drawn: _animation(drawn.samples, drawn.spec)}


class _Video(_Levels):
    axes = ("n", "frames", "h", "w")

    def pictured(self, spec: DataSpec) -> bool:
        """Videos have one."""
        return True

    def picture(
        self,
        samples: np.ndarray[Any, Any],
        spec: DataSpec,
        columns: int | None = None,
        labels: np.ndarray[Any, Any] | None = None,
    ) -> Image:
        """Draw a row of frames for each video."""
        samples = checked(samples, spec)
        frames = samples.reshape(-1, *spec.shape[1:])  # (n * frames, h, w, c)
        return grid(frames, _frame(spec), columns=spec.shape[0])

    def writers(self) -> Mapping[str, Writer]:
        """Write an animation of the first video."""
        return {".gif": lambda drawn: _animation(drawn.samples[0], _frame(drawn.spec))}


def _frame(spec: DataSpec) -> DataSpec:
    return spec.replace(kind="image", shape=spec.shape[1:])


def _animation(frames: np.ndarray[Any, Any], spec: DataSpec) -> bytes:
    pictures = [grid(frame[None], spec) for frame in frames]
    buffer = io.BytesIO()
    shown = round(1000 / spec.rate) if spec.rate else FRAME_MS
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=shown, loop=0)
    return buffer.getvalue()


#: Pictures (height, width, channels).
IMAGE = _Image()
#: Videos (frames, height, width, channels).
VIDEO = _Video()
