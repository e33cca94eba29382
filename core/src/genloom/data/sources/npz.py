"""`npz:FILE`: the user's own arrays, whatever they are, without any code to write and without pickle."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.dataset import Dataset
from genloom.data.options import ArraysOptions
from genloom.data.sources.arrays import dataset_of_arrays
from genloom.errors import DataError

__all__ = ["open_npz"]


def open_npz(rest: str = "", **options: Any) -> Dataset:
    """Open arrays: pictures (n, h, w) or (n, h, w, 1|3|4), or signals (n, features).

    Args:
        rest: the file; keys `x`, and optionally `label`, `x_test`, `label_test` and `class_names`. Labels are whole
            numbers from 0 up, or names.
        **options: see `ArraysOptions`.

    Raises:
        DataError: no such file, no NumPy archive, pickled objects, a missing or unknown key, NaN, a shape or values
            that fit no kind of data, labels that do not fit.
    """
    path = Path(rest).expanduser()
    if not rest or not path.is_file():
        raise DataError(f"npz: {rest!r} is no file.", mend="Write npz:FILE.npz with arrays x and, if any, label.")
    return dataset_of_arrays(_read(path), f"npz:{rest}", str(path), ArraysOptions(**options))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is no NumPy archive")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = "it holds pickled objects" if "allow_pickle" in str(error) else str(error).rstrip(".")
        raise DataError(
            f"{path} cannot be read: {reason}.", mend="Save plain number arrays with numpy.savez(FILE, x=array)."
        ) from error
