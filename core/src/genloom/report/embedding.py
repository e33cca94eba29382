"""Pictures of a run directory as part of the page: checked, and never fetched from elsewhere."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Shown", "embed", "evenly", "show"]

LARGEST_BYTES = 8 * 2**20  # a larger file is not a sample grid of ours
LARGEST_PIXELS = 2**25  # a few bytes of PNG may stand for gigabytes
LARGEST_SIDE = 1200  # pixels: more is not seen on the page


@dataclasses.dataclass(frozen=True)
class Shown:
    """A picture on the page: its caption, a data address and its size in pixels."""

    caption: str
    source: str
    width: int
    height: int


def embed(path: Path, caption: str) -> Shown | None:
    """Return a PNG file of a run for the page, None when it is absent, torn, enormous, a link or no PNG."""
    from PIL import Image

    if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_BYTES:
        return None
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            if opened.width * opened.height > LARGEST_PIXELS:
                return None
            opened.load()
            return show(opened.copy(), caption)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for a broken file
        return None


def show(image: Image, caption: str) -> Shown:
    """Return a picture for the page, reduced to what can be seen on it or enlarged by a whole factor."""
    from PIL.Image import Resampling

    from genloom.modalities.drawing import to_bytes

    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    factor = max(1, LARGEST_SIDE // max(image.size))
    # Browsers blur what they enlarge and keep square pixels when they reduce.
    image = image.resize((image.width * factor, image.height * factor), Resampling.NEAREST)
    source = "data:image/png;base64," + base64.b64encode(to_bytes(image)).decode("ascii")
    return Shown(caption, source, image.width, image.height)


def evenly(paths: Sequence[Path], most: int) -> list[Path]:
    """Return at most `most` of the paths, evenly apart, the first and the last among them."""
    if len(paths) <= most:
        return list(paths)
    return [paths[round(i * (len(paths) - 1) / (most - 1))] for i in range(most)]
