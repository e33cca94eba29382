"""The plugin `diffusion`: its components, listed without importing Keras."""

from __future__ import annotations

from genloom import Component, Preset, hookimpl
from genloom_diffusion.masked_options import (
    LEVELS_PRESETS,
    LEVELS_TRAINING,
    MASKED_PRESETS,
    MASKED_TRAINING,
    LevelsOptions,
    MaskedOptions,
)
from genloom_diffusion.options import (
    DIT_PRESETS,
    LATENT_PRESETS,
    MEAN_PRESETS,
    PRESETS,
    TRAINING,
    ConsistencyOptions,
    DiffusionOptions,
    DistilOptions,
    DiTOptions,
    EDMOptions,
    FlowOptions,
    LatentOptions,
    MeanFlowOptions,
)

__all__ = ["genloom_commands", "genloom_components"]


@hookimpl
def genloom_components() -> list[Component]:
    """Return the family's models, and how one teaches another."""
    return [
        _model("ddpm", "model:Diffusion", DiffusionOptions, "Denoising diffusion: cosine process, velocity, DDIM."),
        _model("edm", "model:EDM", EDMOptions, "Diffusion as in Karras et al. 2022: Heun's sampler, 35 network calls."),
        _model("flow", "model:Flow", FlowOptions, "Rectified flow: a straight process, Euler's sampler."),
        _model("dit", "model:DiT", DiTOptions, "A transformer on patches, of a rectified flow.", DIT_PRESETS),
        _model(
            "meanflow", "meanflow:MeanFlow", MeanFlowOptions, "Mean flows: samples in one network call.", MEAN_PRESETS
        ),
        _model(
            "latent",
            "latent:Latent",
            LatentOptions,
            "Diffusion of the codes of another run's autoencoder.",
            LATENT_PRESETS,
        ),
        Component(
            kind="model",
            id="diffusion/masked",
            target="genloom_diffusion.masked:Masked",
            summary="Masked diffusion of tokens: text in any order.",
            options=MaskedOptions,
            presets=MASKED_PRESETS,
            accepts=("text",),
            training=MASKED_TRAINING,
        ),
        Component(
            kind="model",
            id="diffusion/levels",
            target="genloom_diffusion.levels:Levels",
            summary="Masked diffusion of values on levels: shades, counts, categories.",
            options=LevelsOptions,
            presets=LEVELS_PRESETS,
            accepts=("image", "signal", "table"),
            training=LEVELS_TRAINING,
        ),
        _model(
            "consistency",
            "consistency:Consistency",
            ConsistencyOptions,
            "Consistency models: a sample in one network call, better in two.",
            MEAN_PRESETS,
        ),
        Component(
            "remedy",
            "diffusion/distil",
            "genloom_diffusion.distilling:Distil",
            "Learn from a run of many network calls to draw with few.",
            options=DistilOptions,
        ),
    ]


@hookimpl
def genloom_commands() -> dict[str, tuple[str, str]]:
    """Return the command `restore`."""
    return {
        "restore": ("genloom_diffusion.command:restore", "Draw what a sample may have been of which a part is known.")
    }


def _model(name: str, target: str, options: type, summary: str, presets: dict[str, Preset] = PRESETS) -> Component:
    return Component(
        kind="model",
        id=f"diffusion/{name}",
        target=f"genloom_diffusion.{target}",
        summary=summary,
        options=options,
        presets=presets,
        accepts=("image", "signal", "video"),
        training=TRAINING,
    )
