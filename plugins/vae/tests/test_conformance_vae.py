"""The variational family keeps every promise of a model."""

from __future__ import annotations

from typing import Any, ClassVar

from genloom import DataSpec
from genloom.testing import ModelConformance

IMAGE = DataSpec((8, 8, 1), classes=3, condition=("label",))


class TestDense(ModelConformance):
    id = "vae/mlp"
    spec = IMAGE
    options: ClassVar[dict[str, Any]] = {"latent": 2, "hidden": (16,), "components": 2}
    hooks = "genloom_vae"


class TestImportanceWeighted(ModelConformance):
    id = "vae/iwae"
    spec = IMAGE
    options: ClassVar[dict[str, Any]] = {"latent": 2, "hidden": (12,), "prior": "vamp", "components": 2, "draws": 3}


class TestWasserstein(ModelConformance):
    id = "vae/wae"
    spec = IMAGE
    options: ClassVar[dict[str, Any]] = {"latent": 2, "hidden": (12,), "adversarial": 0.5}


class TestRegularised(ModelConformance):
    id = "vae/rae"
    spec = IMAGE
    options: ClassVar[dict[str, Any]] = {"latent": 2, "hidden": (12,), "prior": "flow", "decoder_gradient": 0.1}


class TestConvolutional(ModelConformance):
    id = "vae/conv"
    spec = IMAGE
    options: ClassVar[dict[str, Any]] = {"latent": 2, "channels": (4, 8), "hidden": (16,), "components": 2}


class TestHierarchical(ModelConformance):
    id = "vae/hierarchical"
    spec = IMAGE
    options: ClassVar[dict[str, Any]] = {"latents": (2, 1), "hidden": (8, 6), "likelihood": "bernoulli", "warm_up": 0}
