"""`files:PATH`: one file, a folder of files or class folders, read by the modality of whose kind the samples are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.dataset import Dataset
from genloom.data.options import ArraysOptions
from genloom.data.sources.arrays import dataset_of_arrays
from genloom.data.sources.folders import Listing, list_files
from genloom.data.sources.room import check_room
from genloom.errors import DataError, reason
from genloom.files import bounded
from genloom.modalities import Reader, known, of_kind

__all__ = ["open_files"]

_MOST_BYTES = 2**30  # of one file


def open_files(rest: str = "", **options: Any) -> Dataset:
    """Open samples in files, all of them held in memory.

    Sub-folders are classes, `train` and `test` folders the splits; the order is that of the sorted relative paths.

    Args:
        rest: a file, or a folder.
        **options: see `ArraysOptions`; without `kind` the endings say it.

    Raises:
        DataError: a wrong path, no file that is read, an ending that several kinds read, a file that cannot be read or
            whose samples have another shape than those before it, and as `dataset_of_arrays`.
    """
    path, asked = Path(rest).expanduser(), ArraysOptions(**options)
    if not rest or not path.exists():
        raise DataError(f"files: {rest!r} is not there.", mend="Give a file, or a folder of files or of class folders.")
    kind = asked.kind or _kind(path)
    arrays = _arrays(path, of_kind(kind).readers())
    return dataset_of_arrays(arrays, f"files:{rest}", str(path), dataclasses.replace(asked, kind=kind))


def _kind(path: Path) -> str:
    """Return the one kind that reads the files of a path."""
    endings = {path.suffix.lower()} if path.is_file() else {file.suffix.lower() for file in path.rglob("*")}
    kinds = [kind for kind, modality in known().items() if endings & set(modality.readers())]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        raise DataError(f"{path} may be {' or '.join(kinds)}.", mend=f"Write ?kind={kinds[0]}, say.")
    readable = sorted({ending for modality in known().values() for ending in modality.readers()})
    mend = f"Endings read: {' '.join(readable)}." if readable else "A plugin with such a modality is to be installed."
    raise DataError(f"{path} has nothing that a modality reads.", mend=f"{mend} See: genloom list datasets.")


def _arrays(path: Path, readers: Mapping[str, Reader]) -> dict[str, NDArray[Any]]:
    """Return the arrays by the names that `dataset_of_arrays` takes."""
    listing = _listing(path, readers)
    parts = _read(listing, readers)
    rows = [len(part) for part in parts]
    x, held = np.concatenate(parts), np.zeros(sum(rows), bool)
    if listing.held is not None:
        held = np.repeat(listing.held, rows)
    found = {"x": x[~held]} | ({"x_test": x[held]} if held.any() else {})
    if listing.label is None:
        return found
    label = np.repeat(listing.label, rows)
    found |= {"label": label[~held], "class_names": np.asarray(listing.classes)}
    return found | ({"label_test": label[held]} if held.any() else {})


def _listing(path: Path, readers: Mapping[str, Reader]) -> Listing:
    if path.is_dir():
        return list_files(path, readers, "files of that kind")
    if path.suffix.lower() not in readers:
        raise DataError(f"{path} is not read by that kind.", mend=f"Endings read: {' '.join(readers) or 'none'}.")
    return Listing(path.parent, (path,), None, (), None, 0)


def _read(listing: Listing, readers: Mapping[str, Reader]) -> list[NDArray[Any]]:
    """Return the samples of each file, all of one shape."""
    check_room(listing.root, sum(path.stat().st_size for path in listing.paths if path.exists()))
    parts: list[NDArray[Any]] = []
    for path in listing.paths:
        part = _samples(path, readers[path.suffix.lower()])
        if parts and part.shape[1:] != parts[0].shape[1:]:
            first = f"{listing.paths[0]} of {parts[0].shape[1:]}"
            raise DataError(f"{path} has samples of {part.shape[1:]}, {first}.", mend="Give all one shape.")
        parts.append(part)
    return parts


def _samples(path: Path, read: Reader) -> NDArray[Any]:
    try:
        found = np.asarray(read(bounded.content(path, _MOST_BYTES)))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.", mend="Repair it, or take it away.") from error
    if found.ndim < 2 or not len(found):
        raise DataError(f"{path} has no samples, but an array of {found.shape}.", mend="Take it away.")
    return found
