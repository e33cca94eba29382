"""`npz:FILE`: the user's own arrays, whatever they are, without any code to write and without pickle."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.dataset import Dataset
from genloom.data.sources.assemble import Arrays, assemble, check_finite, check_labels, held_out
from genloom.data.spec import DataSpec
from genloom.errors import DataError, nearest

__all__ = ["open_npz"]

KEYS = ("x", "label", "x_test", "label_test")


def open_npz(rest: str = "", *, value_range: tuple[float, ...] | None = None, test: float = 0.1) -> Dataset:
    """Open arrays: pictures (n, h, w) or (n, h, w, 1|3|4), or signals (n, features).

    Args:
        rest: the file; keys `x`, and optionally `label`, `x_test`, `label_test`.
        value_range: (lowest, highest) value; None: bytes are brought to [0, 1], floats are inspected.
        test: share held out, every k-th row, when there is no `x_test`.

    Raises:
        DataError: no such file, no NumPy archive, pickled objects, a missing or unknown key, NaN, a shape or values
            that fit no kind of data, labels that do not fit.
    """
    path = Path(rest).expanduser()
    if not rest or not path.is_file():
        raise DataError(f"npz: {rest!r} is no file.", mend="Write npz:FILE.npz with arrays x and, if any, label.")
    arrays = _read(path)
    x = _samples(path, arrays, "x")
    label = _labels(path, arrays, "label", len(x))
    train, held = _split(path, arrays, (x, label), test)
    spec, divisor = _describe(path, train[0], value_range)
    return assemble(f"npz:{rest}", spec, train, held, divisor=divisor)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is no NumPy archive")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = "it holds pickled objects" if "allow_pickle" in str(error) else str(error).rstrip(".")
        raise DataError(
            f"{path} cannot be read: {reason}.", mend="Save plain number arrays with numpy.savez(FILE, x=array)."
        ) from error
    for name in arrays:
        if name not in KEYS:
            raise DataError(f"{path} has the unknown key {name!r}.{nearest(name, KEYS)}", mend=f"Keys: {KEYS}.")
    return arrays


def _samples(path: Path, arrays: dict[str, NDArray[Any]], key: str) -> NDArray[Any]:
    if key not in arrays:
        what = "labels without samples" if "label" in arrays else f"no {key!r}"
        raise DataError(f"{path} has {what}.", mend="Save the samples under the key 'x'.")
    x = arrays[key]
    if not (np.issubdtype(x.dtype, np.integer) or np.issubdtype(x.dtype, np.floating) or x.dtype == np.bool_):
        raise DataError(f"{path}: {key} holds {x.dtype}, not numbers.", mend="Save integers or floats.")
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise DataError(
            f"{path}: {key} has the shape {x.shape}.", mend="Use (n, features), (n, h, w) or (n, h, w, channels)."
        )
    if x.ndim == 4 and x.shape[-1] not in (1, 3, 4):
        raise DataError(f"{path}: {key} has {x.shape[-1]} channels.", mend="Put 1, 3 or 4 channels on the last axis.")
    check_finite(x, f"{path}: {key}")
    return x[..., None] if x.ndim == 3 else x


def _labels(path: Path, arrays: dict[str, NDArray[Any]], key: str, samples: int) -> NDArray[Any] | None:
    return check_labels(arrays[key], samples, f"{path}: {key}") if key in arrays else None


def _split(path: Path, arrays: dict[str, NDArray[Any]], train: Arrays, share: float) -> tuple[Arrays, Arrays]:
    x, label = train
    if "x_test" in arrays:
        x_test = _samples(path, arrays, "x_test")
        label_test = _labels(path, arrays, "label_test", len(x_test))
        if x_test.shape[1:] != x.shape[1:] or x_test.dtype != x.dtype:
            raise DataError(
                f"{path}: x is {x.dtype} {x.shape[1:]} a sample, x_test {x_test.dtype} {x_test.shape[1:]}.",
                mend="Give both one type and shape.",
            )
        if (label is None) != (label_test is None):
            raise DataError(f"{path}: only one of x and x_test has labels.", mend="Give both labels, or neither.")
        return train, (x_test, label_test)
    if "label_test" in arrays:
        raise DataError(f"{path} has label_test without x_test.", mend="Add x_test or remove label_test.")
    if len(x) < 2:
        raise DataError(f"{path} has {len(x)} sample(s).", mend="At least two are needed, to train and to test.")
    held = held_out(len(x), share)
    pick = [(x[rows], None if label is None else label[rows]) for rows in (~held, held)]
    return pick[0], pick[1]


def _describe(path: Path, x: NDArray[Any], given: tuple[float, ...] | None) -> tuple[DataSpec, float]:
    """Return the spec and the divisor: pictures in bytes come out in [0, 1], anything else as it is."""
    if given is not None and len(given) != 2:
        raise DataError(f"value_range needs two numbers, got {given}.", mend="Write value_range=0,255.")
    bounds = None if given is None else (given[0], given[1])
    if x.ndim == 2:
        return DataSpec(x.shape[1:], kind="signal", value_range=bounds), 1.0
    if x.dtype == np.uint8 and bounds is None:
        return DataSpec(x.shape[1:]), 255.0
    return DataSpec(x.shape[1:], value_range=bounds or _infer_range(path, x)), 1.0


def _infer_range(path: Path, x: NDArray[Any]) -> tuple[float, float]:
    low, high = float(x.min()), float(x.max())
    for bounds in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        if bounds[0] <= low and high <= bounds[1]:
            return bounds
    raise DataError(f"{path}: pictures have values from {low:g} to {high:g}.", mend="Give ?value_range=lowest,highest.")
