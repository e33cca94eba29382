"""Conformance kits: what first-party plugins pass, and what plugin authors inherit for theirs. Needs pytest.

Only `ModelConformance` imports Keras; the others test what runs without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloom.testing.components import (
        DatasetConformance,
        MetricConformance,
        ModalityConformance,
        PostprocessorConformance,
    )
    from genloom.testing.imports import heavy_imports
    from genloom.testing.model import ModelConformance

__all__ = [
    "DatasetConformance",
    "MetricConformance",
    "ModalityConformance",
    "ModelConformance",
    "PostprocessorConformance",
    "heavy_imports",
]

_HOMES = {
    "DatasetConformance": "components",
    "MetricConformance": "components",
    "ModalityConformance": "components",
    "ModelConformance": "model",
    "PostprocessorConformance": "components",
    "heavy_imports": "imports",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
