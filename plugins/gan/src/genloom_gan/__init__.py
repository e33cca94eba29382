"""The plugin `gan`: its components, listed without importing Keras."""

from __future__ import annotations

from typing import Any

from genloom import Component, Preset, hookimpl
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
    return [
        _model("mlp", "MLPGAN", MLPOptions, MLP_PRESETS, ("image", "signal", "table"),
               "The classic digits GAN: dense networks, relativistic or non-saturating loss, R1 and R2."),
        _model("dcgan", "DCGAN", DCGANOptions, DCGAN_PRESETS, ("image",),
               "Deep convolutional GAN: batch normalisation, non-saturating loss."),
        _model("wgan-gp", "WGANGP", WGANGPOptions, WGANGP_PRESETS, ("image",),
               "Wasserstein GAN with a gradient penalty, several critic updates per step."),
    ]  # fmt: skip


def _model(
    name: str,
    target: str,
    options: type[Any],
    presets: dict[str, Preset],
    accepts: tuple[str, ...],
    summary: str,
) -> Component:
    return Component(
        kind="model",
        id=f"gan/{name}",
        target=f"genloom_gan.model:{target}",
        summary=summary,
        options=options,
        presets=presets,
        accepts=accepts,
        training=TRAINING,
    )
