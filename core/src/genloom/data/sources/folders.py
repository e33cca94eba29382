"""Which files of a folder are samples, in which order, of which class and split; none is opened here.

Class folders are in the order of their names as text, as other readers of such folders have it: 1, 10, 2. Runs hold the
names in that order, and a label is read by name first.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.sources.pictures import SUFFIXES
from genloom.errors import DataError

__all__ = ["Listing", "list_files", "list_folder", "without"]

_SPLITS = {"train", "test"}
# What systems put beside people's own files; so is all that begins with a dot.
_JUNK = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information", "lost+found"}


@dataclasses.dataclass(frozen=True)
class Listing:
    """The samples of a folder.

    Attributes:
        root: the folder.
        paths: files, sorted by relative path, training files first when the folder itself has splits.
        label: int32 (n,), or None for flat folders.
        classes: names of the class folders, sorted.
        held: bool (n,), True for files of the `test` folder; None when the folder has no splits of its own.
        ignored: number of visible files of other endings.
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
            with other classes, fewer than two pictures, a linked folder that leads back to one that is read already.
    """
    root = Path(rest).expanduser()
    if not rest or not root.is_dir():
        raise DataError(f"images: {rest!r} is not a folder.", mend="Give a folder of pictures or of class folders.")
    listing = list_files(root, SUFFIXES, "pictures")
    if len(listing.paths) < 2:
        raise DataError(f"{root} has one picture.", mend="At least two are needed, to train and to test.")
    return listing if limit is None else _limited(listing, limit)


def list_files(root: Path, endings: Collection[str], what: str) -> Listing:
    """List the files of some endings in a folder, in lower case, by class and split.

    Args:
        root: the folder.
        endings: of the samples' files.
        what: how errors call those files.

    Raises:
        DataError: as `list_folder`, but for a single file.
    """
    if {folder.name for folder in _folders(root)} >= _SPLITS:
        return _joined(root, *(_one(root / part, endings, what) for part in ("train", "test")))
    return _one(root, endings, what)


def _junk(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _JUNK


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _junk(path))


def _of_endings(folder: Path, endings: Collection[str]) -> tuple[list[Path], int]:
    """Return the files of some endings anywhere below a folder, and how many other visible files there are."""
    files = sorted(_files(folder, endings, {}), key=lambda path: path.relative_to(folder).as_posix())
    found = [path for path in files if path.suffix.lower() in endings]
    return found, len(files) - len(found)


def _files(folder: Path, endings: Collection[str], seen: dict[Path, Path]) -> Iterator[Path]:
    """Yield the files below a folder, those of linked folders too; `seen` has the folders read, by where they lie.

    Raises:
        DataError: a folder reached twice, without end by a link that leads upwards, or a link that leads nowhere.
    """
    real = folder.resolve()
    if real in seen:
        raise DataError(
            f"{folder} leads to {real}, which is read as {seen[real]} already.", mend="Remove one of the two."
        )
    seen[real] = folder
    for path in folder.iterdir():
        if _junk(path):
            continue
        if path.is_dir():
            yield from _files(path, endings, seen)
        elif path.is_symlink() and not path.exists() and path.suffix.lower() not in endings:
            raise DataError(f"{path} is a link that leads nowhere.", mend="Remove it, or restore what it leads to.")
        else:
            yield path


def _one(folder: Path, endings: Collection[str], what: str) -> Listing:
    found, ignored = _of_endings(folder, endings)
    if not found:
        raise DataError(f"{folder} has no {what} ({ignored} other files).", mend=f"Endings read: {' '.join(endings)}.")
    classes = _folders(folder)
    loose = [path for path in found if path.parent == folder]
    if not classes:
        return Listing(folder, tuple(found), None, (), None, ignored)
    if loose:
        raise DataError(f"{loose[0]} lies beside class folders.", mend="Move it into a class folder, or remove it.")
    names = [_name(path) for path in classes]
    owners = [path.relative_to(folder).parts[0] for path in found]
    empty = sorted(set(names) - set(owners))
    if empty:
        raise DataError(f"{folder / empty[0]} is an empty class folder.", mend=f"Add {what} or remove the folder.")
    label = np.array([names.index(owner) for owner in owners], dtype=np.int32)
    return Listing(folder, tuple(found), label, tuple(names), None, ignored)


def _name(folder: Path) -> str:
    """Return the name of a class.

    Raises:
        DataError: it is no UTF-8, and so cannot be kept in a run.
    """
    try:
        folder.name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"The class folder {os.fsencode(folder)!r} has a name that is not UTF-8.", mend="Rename it."
        ) from error
    return folder.name


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
    return _rows(listing, rows)


def without(listing: Listing, paths: Collection[Path]) -> Listing:
    """Return a listing without some of its files.

    Raises:
        DataError: a class, a split or the whole would be left with nothing.
    """
    if not paths:
        return listing
    left = _rows(listing, np.array([row for row, path in enumerate(listing.paths) if path not in paths], dtype=np.intp))
    counts = [len(left.paths) - 1]
    counts += [] if left.label is None else np.bincount(left.label, minlength=len(left.classes)).tolist()
    counts += [] if left.held is None else [int(left.held.sum()), int((~left.held).sum())]
    if min(counts) < 1:
        raise DataError(
            f"{listing.root}: {len(paths)} of {len(listing.paths)} pictures are broken; a class or split has no other.",
            mend="Replace them.",
        )
    return left


def _rows(listing: Listing, rows: NDArray[np.intp]) -> Listing:
    return dataclasses.replace(
        listing,
        paths=tuple(listing.paths[row] for row in rows),
        label=None if listing.label is None else listing.label[rows],
        held=None if listing.held is None else listing.held[rows],
    )
