"""Decoding one picture file safely: known formats only, a limit on pixels, every failure named after its file."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import DataError, reason
from genloom.files import bounded

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "SUFFIXES",
    "BrokenPictureError",
    "Decoder",
    "Header",
    "check_picture",
    "read_header",
    "read_picture",
    "reading",
]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_CHANNELS = {mode: channels for channels, mode in _MODES.items()}
# Pillow's modes of eight bits or fewer, and the one of `_MODES` that keeps all they hold; a transparent colour, which
# a palette or a grey picture may name, makes it RGBA.
_PLAIN = {
    **{"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"},
    **{"LA": "RGBA", "La": "RGBA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"},
}
_HEAD_BYTES = 2**24  # of a file beside its pixels: profiles, previews
_MEND = "Replace or remove the file, or leave all such out with ?skip_broken=true."
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)  # EXIF 2.32, table 4: these exchange height and width
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF 6.0, section 8


class BrokenPictureError(DataError):
    """A file that cannot be read, or is no whole picture.

    Args:
        path: the file.
        reason: what is wrong, in a word or two.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is a broken picture: {reason}.", mend=_MEND)
        self.path = path


@dataclasses.dataclass(frozen=True)
class Header:
    """What the head of a picture file says.

    Attributes:
        size: (height, width) in pixels, upright.
        channels: 1, 3 or 4.
        deep: whether its levels are finer than bytes.
    """

    size: tuple[int, int]
    channels: int
    deep: bool


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
            DataError: a missing, broken, truncated or enormous file, or one of levels whose white is unknown, named.
        """
        with reading(path), _opened(path, read_picture(path, self.max_pixels), self.max_pixels) as picture:
            pixels = self._fitted(path, picture)
        return pixels[..., None] if self.channels == 1 else pixels

    def _fitted(self, path: Path, picture: Image.Image) -> NDArray[np.uint8]:
        from PIL import Image, ImageOps

        upright = _plain(path, picture).convert(_MODES[self.channels])
        height, width = self.size
        if upright.size != (width, height):
            upright = ImageOps.fit(upright, (width, height), method=Image.Resampling[self.filter.upper()])
        return np.asarray(upright, dtype=np.uint8)


def read_picture(path: Path, max_pixels: int) -> bytes:
    """Return the content of a plain file no larger than so many pixels unpacked, four channels of 16 bits each.

    Raises:
        OSError: it cannot be read.
        ValueError: it is a device or a pipe, or larger.
    """
    return bounded.content(path, _HEAD_BYTES + 8 * max_pixels)


def read_header(path: Path, content: bytes, max_pixels: int) -> Header:
    """Return size and channels without unpacking the pixels.

    Args:
        path: named in errors.
        content: the whole file.
        max_pixels: more are refused.

    Raises:
        DataError: a broken or enormous file, or one of a mode or of levels that cannot be read, named.
    """
    with reading(path), _opened(path, content, max_pixels) as picture:
        size = _upright_size(picture)
        if _is_deep(picture):
            _plain(path, picture)  # its levels say whether their white is known
            return Header(size, 1, deep=True)
        return Header(size, _CHANNELS[_plain_mode(path, picture)], deep=False)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file in whatever goes wrong.

    Raises:
        BrokenPictureError: for anything but a `DataError`.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # decoders of damaged files raise almost anything: SyntaxError, struct.error, ...
        raise BrokenPictureError(path, _reason(error)) from error


def check_picture(path: Path, max_pixels: int) -> None:
    """Decode a file and drop the result.

    Raises:
        DataError: a broken or enormous file, named.
    """
    with reading(path), _opened(path, read_picture(path, max_pixels), max_pixels) as picture:
        picture.load()


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


def _upright_size(picture: Image.Image) -> tuple[int, int]:
    """Return (height, width) once turned as the file asks for; Pillow itself has exchanged them in a TIFF."""
    turned = picture.getexif().get(_ORIENTATION) in _SIDEWAYS and picture.format != "TIFF"
    return (picture.width, picture.height) if turned else (picture.height, picture.width)


def _plain(path: Path, picture: Image.Image) -> Image.Image:
    """Return the picture upright, in one of `_MODES`; turned first, for a change of mode may drop the EXIF data."""
    from PIL import ImageOps

    if _is_deep(picture):
        return _eight_bits(path, picture)
    mode = _plain_mode(path, picture)
    upright = ImageOps.exif_transpose(picture)
    if upright.mode == "La":
        upright = upright.convert("LA")  # the one way out of it
    return upright.convert(mode)


def _plain_mode(path: Path, picture: Image.Image) -> str:
    if picture.mode not in _PLAIN:
        known = ", ".join([*_PLAIN, "I;16", "F"])
        raise DataError(f"{path} is in {picture.mode}.", mend=f"Save it as RGB; Pillow's modes read are {known}.")
    return "RGBA" if "transparency" in picture.info else _PLAIN[picture.mode]


def _is_deep(picture: Image.Image) -> bool:
    return picture.mode == "F" or picture.mode.startswith("I")


def _eight_bits(path: Path, picture: Image.Image) -> Image.Image:
    """Return grey of 12, 16 or 32 bits upright, as bytes; Pillow's own conversion would clip it to white."""
    from PIL import Image, ImageOps

    white = _white(path, picture)
    dark = picture.format == "TIFF" and picture.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO  # type: ignore[attr-defined]
    levels: NDArray[Any] = np.asarray(ImageOps.exif_transpose(picture)).astype(np.float64)
    low, high = float(levels.min()), float(levels.max())
    if not (low >= 0 and high <= white):  # so that NaN is refused as well
        raise DataError(
            f"{path} has values from {low:g} to {high:g}: which of them is white is unknown.",
            mend="Save it with 16 bits, or as floats from 0 to 1.",
        )
    share = levels / white
    return Image.fromarray(np.rint(255 * (1 - share if dark else share)).astype(np.uint8))


def _white(path: Path, picture: Image.Image) -> float:
    """Return the level that is white: 65535 of 16 bits, 4095 of a TIFF's 12, 1 of floats."""
    if picture.mode == "F":
        return 1.0
    bits = 16
    if picture.format == "TIFF":
        bits = picture.tag_v2.get(_BITS, (16,))[0]  # type: ignore[attr-defined]
    if picture.mode == "I" and picture.format == "TIFF":
        raise DataError(
            f"{path} holds whole numbers of {bits} bits: which of them is white is unknown.",
            mend="Save it with 16 bits and no sign, or as floats from 0 to 1.",
        )
    return 2.0**bits - 1


def _reason(error: Exception) -> str:
    text = reason(error)
    return "no known format" if "cannot identify" in text else text.rstrip(".")
