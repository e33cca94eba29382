"""The data package: sources, splits, the resumable loader; importing it imports NumPy at most when a name is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloom.data.dataset import ArraySplit, Batch, Dataset, Split, Subset
    from genloom.data.factors import Factors
    from genloom.data.loader import Loader, steps_per_epoch
    from genloom.data.mixture import IsotropicMixture
    from genloom.data.opening import Data, open
    from genloom.data.order import drawn_over_classes, drawn_rows
    from genloom.data.spec import DataSpec
    from genloom.data.validation import split_validation, validation_batches

__all__ = [
    "ArraySplit",
    "Batch",
    "Data",
    "DataSpec",
    "Dataset",
    "Factors",
    "IsotropicMixture",
    "Loader",
    "Split",
    "Subset",
    "drawn_over_classes",
    "drawn_rows",
    "open",
    "split_validation",
    "steps_per_epoch",
    "validation_batches",
]

_HOMES = {
    "ArraySplit": "dataset",
    "Batch": "dataset",
    "Data": "opening",
    "DataSpec": "spec",
    "Dataset": "dataset",
    "Factors": "factors",
    "IsotropicMixture": "mixture",
    "Loader": "loader",
    "Split": "dataset",
    "Subset": "dataset",
    "drawn_over_classes": "order",
    "drawn_rows": "order",
    "open": "opening",
    "split_validation": "validation",
    "steps_per_epoch": "loader",
    "validation_batches": "validation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
