"""Which files of a folder are samples, in which order, of which class and split; no picture is opened here."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.sources.pictures import SUFFIXES
from genloom.errors import DataError

__all__ = ["Listing", "list_folder"]

_SPLITS = {"train", "test"}


@dataclasses.dataclass(frozen=True)
class Listing:
    """The samples of a folder.

    Attributes:
        root: the folder.
        paths: files, sorted by relative path, training files first when the folder itself has splits.
        label: int32 (n,), or None for flat folders.
        classes: names of the class folders, sorted.
        held: bool (n,), True for files of the `test` folder; None when the folder has no splits of its own.
        ignored: number of visible files that are no pictures by their ending.
    """

    root: Path
    paths: tuple[Path, ...]
    label: NDArray[np.int32] | None
    classes: tuple[str, ...]
    held: NDArray[np.bool_] | None
    ignored: int


def list_folder(rest: str, limit: int | None = None) -> Listing:
    """List the pictures of a folder.

    Args:
        rest: the folder.
        limit: keep at most this many, spread evenly over the sorted list.

    Raises:
        DataError: no such folder, no pictures in it or in one of its classes, pictures beside class folders, splits
            with other classes, fewer than two pictures.
    """
    root = Path(rest).expanduser()
    if not rest or not root.is_dir():
        raise DataError(f"images: {rest!r} is no folder.", mend="Give a folder of pictures or of class folders.")
    if {folder.name for folder in _folders(root)} >= _SPLITS:
        listing = _joined(root, _one(root / "train"), _one(root / "test"))
    else:
        listing = _one(root)
    if len(listing.paths) < 2:
        raise DataError(f"{root} has one picture.", mend="At least two are needed, to train and to test.")
    return listing if limit is None else _limited(listing, limit)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _pictures(folder: Path) -> tuple[list[Path], int]:
    """Return the pictures anywhere below a folder, and how many other visible files there are."""
    files = [
        path
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    return pictures, len(files) - len(pictures)


def _one(folder: Path) -> Listing:
    pictures, ignored = _pictures(folder)
    if not pictures:
        raise DataError(
            f"{folder} has no pictures ({ignored} other files).", mend=f"Endings read: {' '.join(SUFFIXES)}."
        )
    classes = _folders(folder)
    loose = [path for path in pictures if path.parent == folder]
    if not classes:
        return Listing(folder, tuple(pictures), None, (), None, ignored)
    if loose:
        raise DataError(f"{loose[0]} lies beside class folders.", mend="Move it into a class folder, or remove it.")
    names = [path.name for path in classes]
    owners = [path.relative_to(folder).parts[0] for path in pictures]
    empty = sorted(set(names) - set(owners))
    if empty:
        raise DataError(f"{folder / empty[0]} is an empty class folder.", mend="Add pictures or remove the folder.")
    label = np.array([names.index(owner) for owner in owners], dtype=np.int32)
    return Listing(folder, tuple(pictures), label, tuple(names), None, ignored)


def _joined(root: Path, train: Listing, test: Listing) -> Listing:
    if train.classes != test.classes:
        odd = sorted(set(train.classes) ^ set(test.classes))
        raise DataError(f"{root}: train and test differ in the classes {odd}.", mend="Give both the same folders.")
    label = None
    if train.label is not None and test.label is not None:
        label = np.concatenate([train.label, test.label])
    held: NDArray[Any] = np.repeat([False, True], [len(train.paths), len(test.paths)])
    return Listing(root, train.paths + test.paths, label, train.classes, held, train.ignored + test.ignored)


def _limited(listing: Listing, limit: int) -> Listing:
    n = len(listing.paths)
    if limit >= n:
        return listing
    if limit < 2:
        raise DataError(f"limit must be at least 2, got {limit}.")
    rows = np.arange(limit) * n // limit
    held = None if listing.held is None else listing.held[rows]
    if held is not None and (held.all() or not held.any()):
        raise DataError(f"limit={limit} leaves train or test empty.", mend="Raise the limit.")
    return dataclasses.replace(
        listing,
        paths=tuple(listing.paths[row] for row in rows),
        label=None if listing.label is None else listing.label[rows],
        held=held,
    )
