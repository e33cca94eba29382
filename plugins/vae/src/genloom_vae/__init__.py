"""The plugin `vae`: its components, listed without importing Keras."""

from __future__ import annotations

from typing import Any

from genloom import Component, Preset, hookimpl
from genloom_vae.options import CONV_PRESETS, MLP_PRESETS, TRAINING, ConvOptions, MLPOptions

__all__ = ["genloom_components"]


@hookimpl
def genloom_components() -> list[Component]:
    """Return the family's models."""
    return [
        _model("mlp", "MLPVAE", MLPOptions, MLP_PRESETS, ("image", "signal", "table"),
               "Variational autoencoder with dense networks, learned noise and a learned mixture prior."),
        _model("conv", "ConvVAE", ConvOptions, CONV_PRESETS, ("image",),
               "Variational autoencoder with convolutions, learned noise and a learned mixture prior."),
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
        id=f"vae/{name}",
        target=f"genloom_vae.model:{target}",
        summary=summary,
        options=options,
        presets=presets,
        accepts=accepts,
        training=TRAINING,
    )
