"""The plugin `vae`: its components, listed without importing Keras."""

from __future__ import annotations

import functools

from genloom import Component, hookimpl
from genloom_vae.autoencoder_options import AUTOENCODER_PRESETS, AutoencoderOptions
from genloom_vae.code_options import FSQ_PRESETS, VQ_PRESETS, FSQOptions, VQOptions
from genloom_vae.hierarchical_options import HIERARCHICAL_PRESETS, HierarchicalOptions
from genloom_vae.options import (
    CONV_PRESETS,
    MLP_PRESETS,
    TRAINING,
    ConvOptions,
    IWAEOptions,
    MLPOptions,
    RAEOptions,
    WAEOptions,
)

__all__ = ["genloom_components"]


@hookimpl
def genloom_components() -> list[Component]:
    """Return the family's models."""
    model = functools.partial(Component, "model", training=TRAINING)
    return [
        model("vae/mlp", "genloom_vae.model:MLPVAE",
              "Variational autoencoder with dense networks, learned noise and a learned mixture prior.",
              options=MLPOptions, presets=MLP_PRESETS, accepts=("image", "signal", "table")),
        model("vae/iwae", "genloom_vae.importance:IWAE",
              "Importance-weighted autoencoder: a tighter bound by several draws, which the decoder takes at once.",
              options=IWAEOptions, presets=MLP_PRESETS, accepts=("image", "signal", "table")),
        model("vae/wae", "genloom_vae.model:WAE",
              "Wasserstein autoencoder: the codes of a batch together are drawn towards N(0, I).",
              options=WAEOptions, presets=MLP_PRESETS, accepts=("image", "signal", "table")),
        model("vae/rae", "genloom_vae.model:RAE",
              "Regularised autoencoder: deterministic codes, a smooth decoder, and a prior fitted to the codes.",
              options=RAEOptions, presets=MLP_PRESETS, accepts=("image", "signal", "table")),
        model("vae/conv", "genloom_vae.model:ConvVAE",
              "Variational autoencoder with convolutions, learned noise and a learned mixture prior.",
              options=ConvOptions, presets=CONV_PRESETS, accepts=("image", "signal")),
        model("vae/autoencoder", "genloom_vae.autoencoder:Autoencoder",
              "KL-autoencoder with a patch critic: a latent that keeps its places, for a model over it.",
              options=AutoencoderOptions, presets=AUTOENCODER_PRESETS, accepts=("image",)),
        model("vae/hierarchical", "genloom_vae.hierarchical:HierarchicalVAE",
              "Ladder of two to four levels of latents, each conditioned on those above it.",
              options=HierarchicalOptions, presets=HIERARCHICAL_PRESETS, accepts=("image", "signal", "table")),
        model("vae/fsq", "genloom_vae.codes:FSQ",
              "Finite scalar quantization: discrete codes without a code book, and a transformer over them.",
              options=FSQOptions, presets=FSQ_PRESETS, accepts=("image", "signal", "table")),
        model("vae/vq", "genloom_vae.codes:VQ",
              "VQ-VAE: codes that follow averages and start anew where unused, and a transformer over them.",
              options=VQOptions, presets=VQ_PRESETS, accepts=("image", "signal", "table")),
    ]  # fmt: skip
