"""The adversarial family keeps every promise of a model."""

from __future__ import annotations

from typing import Any, ClassVar

from genloom import DataSpec
from genloom.testing import ModelConformance

IMAGE = DataSpec((8, 8, 1), classes=3, condition=("label",))


class TestDense(ModelConformance):
    id = "gan/mlp"
    spec = IMAGE
    options: ClassVar[dict[str, Any]] = {"latent": 4, "hidden": (16,), "dropout": 0.1}
    hooks = "genloom_gan"


class TestConvolutional(ModelConformance):
    id = "gan/dcgan"
    spec = IMAGE
    options: ClassVar[dict[str, Any]] = {"latent": 4, "channels": (4, 8)}


class TestWasserstein(ModelConformance):
    id = "gan/wgan-gp"
    spec = IMAGE
    options: ClassVar[dict[str, Any]] = {"latent": 4, "channels": (4,), "n_critic": 2}
    steps = 4
