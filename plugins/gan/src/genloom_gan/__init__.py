"""The plugin `gan`: its components, listed without importing Keras."""

from __future__ import annotations

import functools

from genloom import Component, hookimpl
from genloom_gan.options import (
    DCGAN_PRESETS,
    MLP_PRESETS,
    TRAINING,
    WGANGP_PRESETS,
    DCGANOptions,
    MLPOptions,
    WGANGPOptions,
)

__all__ = ["genloom_components"]


@hookimpl
def genloom_components() -> list[Component]:
    """Return the family's models."""
    model = functools.partial(Component, "model", training=TRAINING)
    return [
        model("gan/mlp", "genloom_gan.model:MLPGAN",
              "The classic digits GAN: dense networks, relativistic or non-saturating loss, R1 and R2.",
              options=MLPOptions, presets=MLP_PRESETS, accepts=("image", "signal", "table")),
        model("gan/dcgan", "genloom_gan.model:DCGAN",
              "Deep convolutional GAN: batch normalisation, non-saturating loss.",
              options=DCGANOptions, presets=DCGAN_PRESETS, accepts=("image",)),
        model("gan/wgan-gp", "genloom_gan.model:WGANGP",
              "Wasserstein GAN with a gradient penalty, several critic updates per step.",
              options=WGANGPOptions, presets=WGANGP_PRESETS, accepts=("image",)),
    ]  # fmt: skip
