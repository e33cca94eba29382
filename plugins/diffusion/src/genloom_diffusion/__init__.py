"""The plugin `diffusion`: its components, listed without importing Keras."""

from __future__ import annotations

from genloom import Component, hookimpl
from genloom_diffusion.options import PRESETS, TRAINING, DiffusionOptions, EDMOptions, FlowOptions

__all__ = ["genloom_components"]


@hookimpl
def genloom_components() -> list[Component]:
    """Return the family's models: one class, whose options have other defaults under each id."""
    return [
        _model("ddpm", "Diffusion", DiffusionOptions, "Denoising diffusion: the cosine process, DDIM, the velocity."),
        _model("edm", "EDM", EDMOptions, "Diffusion as of Karras et al. 2022: Heun's sampler, 35 network calls."),
        _model("flow", "Flow", FlowOptions, "Rectified flow: a straight process, Euler's sampler."),
    ]


def _model(name: str, attribute: str, options: type, summary: str) -> Component:
    return Component(
        kind="model",
        id=f"diffusion/{name}",
        target=f"genloom_diffusion.model:{attribute}",
        summary=summary,
        options=options,
        presets=PRESETS,
        accepts=("image", "signal"),
        training=TRAINING,
    )
