"""Data without a value range get a mean and a scale, measured on the training samples: the units models learn in."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from genloom.data.dataset import Dataset, Split
from genloom.data.spec import DataSpec
from genloom.errors import DataError
from genloom.modalities import modality_of

__all__ = ["in_units_of", "moments", "standardised"]

_VALUES = 1 << 22  # held in memory at once: 32 MiB in float64


def standardised(dataset: Dataset) -> Dataset:
    """Return the data set with mean and scale in its spec, where its samples are unbounded numbers.

    Data with a range, tokens, values that are no amounts, and data whose spec has a scale are returned as they are; so
    is the fingerprint, for the content determines the scale.

    Raises:
        DataError: training samples with NaN or infinite values, counted.
    """
    if not _unbounded(dataset.spec):
        return dataset
    mean, scale = moments(dataset.train, dataset.spec, dataset.address)
    return dataclasses.replace(dataset, spec=dataset.spec.replace(mean=mean, scale=scale))


def _unbounded(spec: DataSpec) -> bool:
    plain = spec.value_range is None and not spec.scale and not spec.holds_tokens
    return plain and modality_of(spec).numeric


def moments(split: Split, spec: DataSpec, address: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each place of the last axis, in float64, a few samples at a time.

    That of a constant place is 0. Chunks are merged as Chan, Golub and LeVeque 1979 do: no digits are lost to a large
    mean.

    Raises:
        DataError: NaN or infinite values, counted.
    """
    count, mean, squares, bad = 0, np.zeros(()), np.zeros(()), 0
    chunk = max(1, _VALUES // spec.size)
    for begin in range(0, len(split), chunk):
        x = np.asarray(split.take(np.arange(begin, min(begin + chunk, len(split))))["x"], np.float64)
        rows = x.reshape(-1, x.shape[-1])  # (samples × places before the last axis, last axis)
        bad += _not_finite(x)
        count, mean, squares = _merged(count, mean, squares, rows)
    if bad:
        raise DataError(
            f"{address} has NaN or infinite values in {bad} of {len(split)} training samples.",
            mend="Remove or repair those samples.",
        )
    deviation = np.sqrt(squares / max(count, 1))
    # What rounding leaves of a constant is no spread: a float32 carries 24 bits of its size.
    constant = deviation <= np.abs(mean) * 2.0**-24
    scale = np.where(constant, 0.0, deviation)
    return tuple(map(float, mean)), tuple(map(float, scale))


def _not_finite(x: NDArray[np.float64]) -> int:
    return int((~np.isfinite(x).reshape(len(x), -1).all(axis=1)).sum())


def _merged(
    count: int, mean: NDArray[np.float64], squares: NDArray[np.float64], rows: NDArray[np.float64]
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return number, mean and summed squared deviations (d,) of what was counted and `rows` (k, d) together."""
    total = count + len(rows)
    with np.errstate(invalid="ignore"):  # values that are not finite are counted beside this
        own = rows.mean(axis=0)
        step = own - mean
        squares = squares + ((rows - own) ** 2).sum(axis=0) + step**2 * (count * len(rows) / total)
        return total, mean + step * (len(rows) / total), squares


def in_units_of(dataset: Dataset, spec: DataSpec) -> Dataset:
    """Return the data set with the mean and scale of a run's own spec: what its weights have learned is in those units.

    Data with a range, or of another shape, are returned as they are.
    """
    if dataset.spec.value_range is not None or (spec.value_range, spec.shape) != (None, dataset.spec.shape):
        return dataset
    return dataclasses.replace(dataset, spec=dataset.spec.replace(mean=spec.mean, scale=spec.scale))
