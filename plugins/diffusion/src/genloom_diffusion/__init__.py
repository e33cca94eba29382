"""The plugin `diffusion`: its components, listed without importing Keras."""

from __future__ import annotations

from genloom import Component, hookimpl
from genloom_diffusion.options import PRESETS, TRAINING, DiffusionOptions

__all__ = ["genloom_components"]


@hookimpl
def genloom_components() -> list[Component]:
    """Return the family's models."""
    ddpm = Component(
        kind="model",
        id="diffusion/ddpm",
        target="genloom_diffusion.model:Diffusion",
        summary="Denoising diffusion: a U-Net with attention, any of three targets, DDIM or ancestral sampling.",
        options=DiffusionOptions,
        presets=PRESETS,
        accepts=("image", "signal"),
        training=TRAINING,
    )
    return [ddpm]
