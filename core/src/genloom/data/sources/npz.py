"""`npz:FILE`: the user's own arrays, whatever they are, without any code to write and without pickle."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.dataset import Dataset
from genloom.data.options import ArraysOptions
from genloom.data.sources.arrays import KEYS, check_key, dataset_of_arrays
from genloom.data.sources.room import check_room
from genloom.errors import DataError

__all__ = ["open_npz", "read_npz"]

_MOST_ARRAYS = 1_000  # of one file
#: Names in a file that `genloom sample` wrote → those of data; seeds tell where samples are from, and are no data.
_DRAWN = {"samples": "x", "labels": "label", "seeds": None}


def open_npz(rest: str = "", **options: Any) -> Dataset:
    """Open arrays: pictures (n, h, w) or (n, h, w, 1|3|4), or signals (n, features).

    Args:
        rest: the file; keys `x`, and optionally `label`, `x_test`, `label_test` and `class_names`, or those of a file
            that `genloom sample` wrote. Labels are whole numbers from 0 up, or names.
        **options: see `ArraysOptions`.

    Raises:
        DataError: no such file, no NumPy archive, pickled objects, a missing or unknown key, NaN, a shape or values
            that fit no kind of data, labels that do not fit.
    """
    path = Path(rest).expanduser()
    if not rest or not path.is_file():
        raise DataError(f"npz: {rest!r} is not a file.", mend="Write npz:FILE.npz with arrays x and, if any, label.")
    arrays = read_npz(path, (*KEYS, *_DRAWN))
    return dataset_of_arrays(_data(arrays), f"npz:{rest}", str(path), ArraysOptions(**options))


def _data(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return arrays by the names of data, where samples that were drawn have their own."""
    if "samples" not in arrays:
        return dict(arrays)
    named = ((_DRAWN.get(name, name), array) for name, array in arrays.items())
    return {name: array for name, array in named if name is not None}


def read_npz(path: Path, keys: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file, whose names and headers are checked before any of them is read.

    Args:
        path: the file.
        keys: names that it may hold; None: any.

    Raises:
        DataError: no NumPy archive, pickled objects, an unknown name, or more than the memory that is free.
    """
    try:
        if not path.is_file() or not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is not a NumPy archive")
        with zipfile.ZipFile(path) as archive:
            _check_headers(path, archive, keys)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except DataError:
        raise
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = "it holds pickled objects" if "allow_pickle" in str(error) else str(error).rstrip(".")
        raise DataError(
            f"{path} cannot be read: {reason}.", mend="Save plain number arrays with numpy.savez(FILE, x=array)."
        ) from error


def _check_headers(path: Path, archive: zipfile.ZipFile, keys: Collection[str] | None) -> None:
    """Refuse unknown names, pickled objects, and sizes that are not those of the archive or have no room."""
    entries = archive.infolist()
    if len(entries) > _MOST_ARRAYS:
        raise ValueError(f"it has {len(entries):,} arrays, where {_MOST_ARRAYS:,} are the most")
    total = 0
    for entry in entries:
        name = entry.filename.removesuffix(".npy")
        if keys is not None and name not in keys:
            check_key(name, str(path))
        with archive.open(entry) as file:
            shape, dtype = _header(file)
        if dtype.hasobject:
            raise ValueError("allow_pickle is off")
        claimed = math.prod(shape) * dtype.itemsize
        if claimed > entry.file_size:
            raise ValueError(f"{entry.filename} claims {claimed:,} bytes and has {entry.file_size:,}")
        total += claimed
    check_room(path, total)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
