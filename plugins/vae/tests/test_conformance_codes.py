"""Models of codes keep every promise of a model."""

from __future__ import annotations

from typing import Any, ClassVar

from genloom import DataSpec
from genloom.testing import ModelConformance

SMALL: dict[str, Any] = {"channels": (8,), "blocks": 1, "prior_layers": 1, "prior_heads": 2, "prior_width": 8}


class TestFiniteScalars(ModelConformance):
    id = "vae/fsq"
    spec = DataSpec((7, 6, 1), classes=3, condition=("label",), levels=5)
    options: ClassVar[dict[str, Any]] = {**SMALL, "levels": (4, 3), "likelihood": "categorical", "prior_dropout": 0.2}
    exact_gradients = False  # straight-through
    falls = ("codes",)


class TestNearestVectors(ModelConformance):
    id = "vae/vq"
    spec = DataSpec((6,), "table", value_range=None)
    options: ClassVar[dict[str, Any]] = {
        **SMALL, "places": 3, "hidden": (16,), "codes": 6, "width": 3, "decay": 0.8, "learning_rate": 1e-2,
    }  # fmt: skip
    exact_gradients = False
    falls = ("codes",)
