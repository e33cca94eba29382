"""Decoding one picture file safely: known formats only, a limit on pixels, every failure named after its file."""

from __future__ import annotations

import dataclasses
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["SUFFIXES", "Decoder", "Header", "read_header"]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

# What Pillow's modes hold; palettes are looked at one by one, since they may be transparent.
_CHANNELS = {"1": 1, "L": 1, "I": 1, "I;16": 1, "I;16B": 1, "F": 1, "RGB": 3, "YCbCr": 3, "CMYK": 3, "HSV": 3, "LAB": 3}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_MEND = "Replace or remove the file."


@dataclasses.dataclass(frozen=True)
class Header:
    """What the head of a picture file says.

    Attributes:
        size: (height, width) in pixels, before any rotation that the file asks for.
        channels: 1, 3 or 4.
    """

    size: tuple[int, int]
    channels: int


@dataclasses.dataclass(frozen=True)
class Decoder:
    """Turn a file into bytes of one shape.

    Attributes:
        size: (height, width) of the result.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA) of the result; dropping alpha keeps the colours beneath it.
        filter: Pillow's resampling filter, by name.
        max_pixels: files of more pixels are refused before they are unpacked.
    """

    size: tuple[int, int]
    channels: int
    filter: str
    max_pixels: int

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """Return uint8 (height, width, channels): turned upright, cropped to shape at the centre, resized.

        Raises:
            DataError: a missing, broken, truncated or enormous file, named.
        """
        try:
            with _opened(path, path.read_bytes(), self.max_pixels) as picture:
                pixels = self._fitted(picture)
        except DataError:
            raise
        except Exception as error:  # decoders of damaged files raise almost anything: SyntaxError, struct.error, ...
            raise DataError(f"{path} is a broken picture: {_reason(error)}.", mend=_MEND) from error
        return pixels[..., None] if self.channels == 1 else pixels

    def _fitted(self, picture: Image.Image) -> NDArray[np.uint8]:
        from PIL import Image, ImageOps

        upright = ImageOps.exif_transpose(_eight_bits(picture)).convert(_MODES[self.channels])
        height, width = self.size
        if upright.size != (width, height):
            upright = ImageOps.fit(upright, (width, height), method=Image.Resampling[self.filter.upper()])
        return np.asarray(upright, dtype=np.uint8)


def read_header(path: Path, content: bytes, max_pixels: int) -> Header:
    """Return size and channels without unpacking the pixels.

    Args:
        path: named in errors.
        content: the whole file.
        max_pixels: more are refused.

    Raises:
        DataError: a broken or enormous file, named.
    """
    try:
        with _opened(path, content, max_pixels) as picture:
            return Header((picture.height, picture.width), _channels(picture))
    except DataError:
        raise
    except Exception as error:  # see Decoder.__call__
        raise DataError(f"{path} is a broken picture: {_reason(error)}.", mend=_MEND) from error


def _opened(path: Path, content: bytes, max_pixels: int) -> Image.Image:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours, and lower
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _enormous(path, "too many", max_pixels) from error
    if picture.width * picture.height > max_pixels:
        raise _enormous(path, f"{picture.width}×{picture.height}", max_pixels)
    return picture


def _enormous(path: Path, size: str, max_pixels: int) -> DataError:
    return DataError(
        f"{path} is enormous: {size} pixels, where {max_pixels} are allowed.",
        mend="Shrink it, or allow more with ?max_pixels=N if you trust it.",
    )


def _channels(picture: Image.Image) -> int:
    if picture.mode == "P":
        return 4 if "transparency" in picture.info else 3
    return _CHANNELS.get(picture.mode, 4)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Scale 16-bit grey down, which Pillow's own conversion would clip to white."""
    from PIL import Image

    if not picture.mode.startswith("I"):
        return picture
    levels: NDArray[Any] = np.asarray(picture).astype(np.float64) / 257
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return "no known format" if "cannot identify" in text else text.rstrip(".")
