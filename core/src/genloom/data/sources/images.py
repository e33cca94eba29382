"""`images:DIR`: a folder of pictures of any number: small ones are kept, large ones decoded as batches ask for them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.data.dataset import ArraySplit, Batch, Dataset, Split
from genloom.data.fingerprint import fingerprint_parts
from genloom.data.options import FILTERS
from genloom.data.sources.assemble import class_frequencies, held_out
from genloom.data.sources.folders import Listing, list_folder, without
from genloom.data.sources.pictures import (
    BrokenPictureError,
    Decoder,
    Header,
    check_picture,
    read_header,
    read_picture,
    reading,
)
from genloom.data.spec import DataSpec
from genloom.errors import DataError, listed, nearest

__all__ = ["PictureSplit", "open_images"]

T = TypeVar("T")

# Folders of at most this many pixels, stored and wanted (a few seconds' work), are decoded once and kept as bytes: a
# broken picture then fails before training, not in it, and batches cost no decoding. Larger folders are streamed.
_KEEP_PIXELS = 1 << 28


class PictureSplit(Split):
    """A split whose samples are files; holds their names and labels only.

    Args:
        paths: one file per sample.
        label: (n,) classes, or None.
        decoder: turns a file into uint8 (height, width, channels).
    """

    streamed = True

    def __init__(self, paths: Sequence[Path], label: ArrayLike | None, decoder: Decoder) -> None:
        self._paths = tuple(paths)
        self._label = None if label is None else np.asarray(label, dtype=np.int32)
        self._decoder = decoder

    def __len__(self) -> int:
        return len(self._paths)

    def take(self, indices: ArrayLike) -> Batch:
        """Decode some pictures into float32 (n, height, width, channels) in [0, 1].

        Raises:
            DataError: a file that broke or vanished since the folder was opened.
        """
        rows = np.asarray(indices, dtype=np.intp)
        x = np.empty((len(rows), *self._decoder.size, self._decoder.channels), dtype=np.float32)
        for place, row in enumerate(rows):
            x[place] = self._decoder(self._paths[row])
        x /= np.float32(255)
        batch: Batch = {"x": x}
        if self._label is not None:
            batch["label"] = self._label.take(rows)
        return batch


def open_images(
    rest: str = "",
    *,
    size: int | Sequence[int] | None = None,
    channels: int | None = None,
    filter: str = "lanczos",
    limit: int | None = None,
    test: float = 0.1,
    max_pixels: int = 50_000_000,
    skip_broken: bool = False,
) -> Dataset:
    """Open a folder of pictures: (height, width, channels) in [0, 1].

    Large folders are decoded as batches ask for them, small ones once. Sub-folders are classes; a flat folder has no
    labels; `train` and `test` folders, when there are both, are the splits. Order is that of the sorted relative
    paths. Pictures of another shape are cropped at the centre to the wanted one and resized with `filter`.

    Args:
        rest: the folder.
        size: side, or (height, width), in pixels; None: the most common size.
        channels: 1, 3 or 4; None: as stored, when all files agree.
        filter: Pillow's resampling filter: one of `genloom.data.options.FILTERS`.
        limit: at most this many pictures, spread evenly over the sorted list.
        test: share held out, every k-th picture, without train and test folders.
        max_pixels: pictures of more pixels are refused before they are unpacked.
        skip_broken: leave broken pictures out instead of refusing the folder; all are decoded once to find them.

    Raises:
        DataError: a wrong path, no pictures, an empty class folder, broken or enormous pictures, mixed channels;
            each names the file.
    """
    if filter not in FILTERS:
        raise DataError(f"Unknown filter {filter!r}.{nearest(filter, FILTERS)}", mend=f"Use one of {FILTERS}.")
    listing, skipped = list_folder(rest, limit), list[BrokenPictureError]()
    if skip_broken:
        skipped = _broken(listing.paths, max_pixels)
        listing = without(listing, {error.path for error in skipped})
    headers, parts = _scan(listing, max_pixels)
    decoder = Decoder(_size(size, headers), _channels(channels, listing, headers), filter, max_pixels)
    held = held_out(len(listing.paths), test) if listing.held is None else listing.held
    spec = _spec(decoder, listing, held)
    keep = _fits(headers, spec)
    train, held_split = (_part(listing, rows, decoder, keep) for rows in (~held, held))
    parts.append(f"{decoder} {held.tobytes().hex()}".encode())
    return Dataset(
        address=f"images:{rest}",
        spec=spec,
        train=train,
        test=held_split,
        fingerprint=fingerprint_parts(spec, parts),
        notes=(*_notes(decoder, headers, listing), *_skipped(skipped)),
    )


def _scan(listing: Listing, max_pixels: int) -> tuple[list[Header], list[bytes]]:
    """Read each file once: its header, and its name, size and hash for the fingerprint."""

    def scanned(path: Path) -> tuple[Header, bytes]:
        with reading(path):
            content = read_picture(path, max_pixels)
        name = os.fsencode(path.relative_to(listing.root).as_posix())
        part = name + len(content).to_bytes(8, "little") + hashlib.sha256(content).digest()
        return read_header(path, content, max_pixels), part

    found = _of_each(listing.paths, scanned, max_pixels)
    return [header for header, _ in found], [part for _, part in found]


def _of_each(paths: Sequence[Path], read: Callable[[Path], T], max_pixels: int) -> list[T]:
    """Read every file; where one is broken, look for all that are, so that one error counts them.

    Raises:
        DataError: broken pictures, the first of them named.
    """
    try:
        return [read(path) for path in paths]
    except BrokenPictureError as error:
        broken = _broken(paths, max_pixels)
        if len(broken) < 2:
            raise
        names = listed([str(each.path) for each in broken])
        raise DataError(
            f"{len(broken)} of {len(paths)} pictures are broken: {names}. {broken[0].message}", mend=broken[0].mend
        ) from error


def _broken(paths: Sequence[Path], max_pixels: int) -> list[BrokenPictureError]:
    """Decode every picture and return what is wrong with those that are broken."""
    found = []
    for path in paths:
        try:
            check_picture(path, max_pixels)
        except BrokenPictureError as error:
            found.append(error)
    return found


def _size(size: int | Sequence[int] | None, headers: list[Header]) -> tuple[int, int]:
    if size is None:
        counted = Counter(header.size for header in headers)
        return min(counted, key=lambda shape: (-counted[shape], shape))
    sides = (size,) if isinstance(size, int) else tuple(int(side) for side in size)
    if len(sides) not in (1, 2) or min(sides, default=0) < 1:
        raise DataError(f"size must be one side or height,width, got {size}.", mend="Write ?size=32.")
    return sides[0], sides[-1]


def _channels(channels: int | None, listing: Listing, headers: list[Header]) -> int:
    if channels is not None:
        if channels not in (1, 3, 4):
            raise DataError(f"channels must be 1, 3 or 4, got {channels}.")
        return channels
    first = {header.channels: path for header, path in reversed(list(zip(headers, listing.paths, strict=True)))}
    if len(first) > 1:
        seen = ", ".join(f"{count} in {path}" for count, path in sorted(first.items()))
        raise DataError(f"The pictures have mixed channels: {seen}.", mend="Choose with ?channels=1, 3 or 4.")
    return headers[0].channels


def _spec(decoder: Decoder, listing: Listing, held: NDArray[np.bool_]) -> DataSpec:
    spec = DataSpec((*decoder.size, decoder.channels), levels=256)
    if listing.label is None:
        return spec
    return spec.replace(
        classes=len(listing.classes),
        class_names=listing.classes,
        class_frequencies=class_frequencies(listing.label[~held], len(listing.classes)),
        condition=("label",),
    )


def _fits(headers: list[Header], spec: DataSpec) -> bool:
    stored = sum(height * width for height, width in (header.size for header in headers))
    return max(stored, len(headers) * spec.size) <= _KEEP_PIXELS


def _part(listing: Listing, rows: NDArray[np.bool_], decoder: Decoder, keep: bool) -> Split:
    paths = [path for path, wanted in zip(listing.paths, rows, strict=True) if wanted]
    label = None if listing.label is None else listing.label[rows]
    if keep:
        return ArraySplit(np.stack(_of_each(paths, decoder, decoder.max_pixels)), label, divisor=255)
    return PictureSplit(paths, label, decoder)


def _notes(decoder: Decoder, headers: list[Header], listing: Listing) -> tuple[str, ...]:
    height, width = decoder.size
    other = sum(header.size != decoder.size for header in headers)
    notes = []
    if other:
        notes.append(f"{other} of {len(headers)} pictures were resized to {height}×{width} with {decoder.filter}.")
    deep = sum(header.deep for header in headers)
    if deep:
        notes.append(f"{deep} of {len(headers)} pictures have levels finer than bytes and were rounded to those.")
    if listing.ignored:
        notes.append(f"{listing.ignored} files with other endings were ignored.")
    return tuple(notes)


def _skipped(broken: Sequence[BrokenPictureError]) -> tuple[str, ...]:
    names = listed([str(error.path) for error in broken])
    return (f"{len(broken)} broken pictures were skipped: {names}.",) if broken else ()
