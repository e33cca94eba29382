"""The diffusion family keeps every promise of a model."""

from __future__ import annotations

from typing import Any, ClassVar

from genloom import DataSpec, backend
from genloom.testing import ModelConformance


class TestImages(ModelConformance):
    id = "diffusion/ddpm"
    spec = DataSpec((8, 8, 1), classes=3, condition=("label",))
    options: ClassVar[dict[str, Any]] = {
        "channels": (8,),
        "blocks": 1,
        "patch": 2,
        "embedding": 16,
        "heads": 2,
        "dropout": 0.1,
    }
    sampling: ClassVar[dict[str, Any]] = {"steps": 4}
    hooks = "genloom_diffusion"


class TestSignals(ModelConformance):
    id = "diffusion/edm"
    spec = DataSpec((2,), kind="signal", value_range=(-3.0, 3.0))
    options: ClassVar[dict[str, Any]] = {"width": 16, "depth": 1, "target": "noise", "learning_rate": 1e-2}
    sampling: ClassVar[dict[str, Any]] = {"steps": 4, "churn": 2.0}


class TestMeanFlows(ModelConformance):
    id = "diffusion/meanflow"
    exact_gradients = False  # the target is not differentiated
    spec = DataSpec((2,), kind="signal", value_range=(-3.0, 3.0), classes=3, condition=("label",))
    options: ClassVar[dict[str, Any]] = {"width": 16, "depth": 1, "learning_rate": 1e-2}
    sampling: ClassVar[dict[str, Any]] = {"steps": 2, "guidance": 1.5, "guidance_to": 0.8}


class TestMaskedTokens(ModelConformance):
    id = "diffusion/masked"
    spec = DataSpec((6,), kind="text", dtype="int32", value_range=None, vocabulary=7)
    options: ClassVar[dict[str, Any]] = {"layers": 1, "heads": 2, "width": 8, "dropout": 0.1, "learning_rate": 1e-2}
    sampling: ClassVar[dict[str, Any]] = {"steps": 4}
    precision = "float32" if backend.name() == "jax" else "float64"  # its attention is float32 inside
    hooks = "genloom_diffusion"


class TestConsistency(ModelConformance):
    id = "diffusion/consistency"
    exact_gradients = False  # the target is not differentiated
    spec = DataSpec((2,), kind="signal", value_range=(-3.0, 3.0), classes=3, condition=("label",))
    options: ClassVar[dict[str, Any]] = {"width": 16, "depth": 1, "learning_rate": 1e-2, "ramp": 2}
    sampling: ClassVar[dict[str, Any]] = {"steps": 2, "guidance": 1.5}


class TestTransformers(ModelConformance):
    id = "diffusion/dit"
    precision = "float32" if backend.name() == "jax" else "float64"  # JAX's attention is float32 inside
    spec = DataSpec((5, 6, 1), classes=3, condition=("label",))
    options: ClassVar[dict[str, Any]] = {"width": 16, "depth": 1, "heads": 2, "dropout": 0.1, "learning_rate": 1e-2}
    sampling: ClassVar[dict[str, Any]] = {"steps": 2, "guidance": 1.5}
    hooks = "genloom_diffusion"


class TestLongSignals(ModelConformance):
    id = "diffusion/flow"
    spec = DataSpec((9, 2), kind="signal", value_range=(-3.0, 3.0))
    options: ClassVar[dict[str, Any]] = {"channels": (8, 8), "blocks": 1, "embedding": 16, "patch": 2}
    sampling: ClassVar[dict[str, Any]] = {"steps": 2}


class TestLevels(ModelConformance):
    id = "diffusion/levels"
    spec = DataSpec((2, 3, 1), levels=5, classes=3, condition=("label",))
    options: ClassVar[dict[str, Any]] = {"layers": 1, "heads": 2, "width": 16, "learning_rate": 1e-2}
    sampling: ClassVar[dict[str, Any]] = {"steps": 4}
    precision = "float32" if backend.name() == "jax" else "float64"  # its attention is float32 inside
    hooks = "genloom_diffusion"
