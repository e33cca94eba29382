"""Values that span little of their range are flat to a model: where that is so it is said."""

from __future__ import annotations

import numpy as np

from genloom.data.dataset import Split
from genloom.data.order import drawn_rows
from genloom.data.spec import DataSpec

__all__ = ["narrow", "narrow_split"]

_LEAST = 0.1  # of the range; below it what varies is lost among what a model may draw
_LOOKED_AT = 256  # samples that stand for all: a split may be pictures in files


def narrow(low: float, high: float, spec: DataSpec) -> str | None:
    """Return a warning where values from `low` to `high` span less than a tenth of the range, None where they do not.

    Args:
        low: least value of the training samples.
        high: largest one.
        spec: of the data.
    """
    if spec.value_range is None or high - low >= _LEAST * (spec.value_range[1] - spec.value_range[0]):
        return None
    return (
        f"Training values run from {low:.4g} to {high:.4g}, less than a tenth of the range {spec.value_range[0]:g} to "
        f"{spec.value_range[1]:g}. Arrays and npz take value_range=lowest,highest of the values as they are stored."
    )


def narrow_split(split: Split, spec: DataSpec) -> str | None:
    """Return the warning of `narrow` for some samples of a training split, drawn, that stand for all."""
    if spec.value_range is None:
        return None
    x = split.take(drawn_rows(len(split), _LOOKED_AT))["x"]
    return narrow(float(np.min(x)), float(np.max(x)), spec)
