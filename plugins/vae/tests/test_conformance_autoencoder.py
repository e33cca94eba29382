"""The KL-autoencoder keeps every promise of a model."""

from __future__ import annotations

from typing import Any, ClassVar

from genloom import DataSpec
from genloom.testing import ModelConformance


class TestAutoencoder(ModelConformance):
    id = "vae/autoencoder"
    spec = DataSpec((7, 6, 1), classes=3, condition=("label",))
    # Without the balance: its weight is a number to the loss, which a central difference would see move.
    options: ClassVar[dict[str, Any]] = {
        "latent": 2, "channels": (8,), "critic_channels": (8,), "critic_start": 4, "balance": False,
    }  # fmt: skip
    falls = ("autoencoder",)
