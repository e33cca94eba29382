"""The plugin `gan`: its components, listed without importing Keras."""

from __future__ import annotations

import functools

from genloom import Component, hookimpl
from genloom_gan import options

__all__ = ["genloom_components"]


@hookimpl
def genloom_components() -> list[Component]:
    """Return the family's models."""
    model = functools.partial(Component, "model", training=options.TRAINING)
    return [
        model("gan/mlp", "genloom_gan.model:MLPGAN",
              "The classic digits GAN: dense networks, relativistic or non-saturating loss, R1 and R2.",
              options=options.MLPOptions, presets=options.MLP_PRESETS, accepts=("image", "signal", "table")),
        model("gan/dcgan", "genloom_gan.model:DCGAN",
              "Deep convolutional GAN: batch normalisation, non-saturating loss.",
              options=options.DCGANOptions, presets=options.DCGAN_PRESETS, accepts=("image",)),
        model("gan/wgan-gp", "genloom_gan.model:WGANGP",
              "Wasserstein GAN with a gradient penalty, several critic updates per step.",
              options=options.WGANGPOptions, presets=options.WGANGP_PRESETS, accepts=("image",)),
    ]  # fmt: skip
