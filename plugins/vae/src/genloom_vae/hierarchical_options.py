"""Options of the hierarchical autoencoder, light enough to list without Keras."""

from __future__ import annotations

import dataclasses
from typing import Any

from genloom import Preset
from genloom.errors import ConfigError
from genloom.options import option
from genloom_vae.options import VAEOptions

__all__ = ["HIERARCHICAL_PRESETS", "HierarchicalOptions"]

_LEVELS = (2, 4)


def _as_declared(name: str) -> Any:
    """Return an option as every variational autoencoder has it."""
    declared = VAEOptions.__dataclass_fields__[name]
    return dataclasses.field(default=declared.default, metadata=declared.metadata)


@dataclasses.dataclass(frozen=True)
class HierarchicalOptions:
    """Options of `vae/hierarchical`."""

    latents: tuple[int, ...] = option((16, 8), "size of each of two to four latents, nearest to x first", minimum=1)
    hidden: tuple[int, ...] = option(
        (256, 128), "width of each level's hidden layer, nearest to x first; as many as latents", minimum=1
    )
    channels: tuple[int, ...] = option(
        (), "of images: channels of convolutions below the first level, each halves the sides; empty: dense", minimum=1
    )
    warm_up: int = option(
        1000, "steps in which the weight of the KL terms grows to beta, lest upper levels fall asleep", minimum=0
    )
    likelihood: str = _as_declared("likelihood")
    mixtures: int = _as_declared("mixtures")
    dequantise: bool = _as_declared("dequantise")
    beta: float = _as_declared("beta")
    conditional: bool = _as_declared("conditional")
    observation_noise: float = _as_declared("observation_noise")
    learning_rate: float = _as_declared("learning_rate")

    def __post_init__(self) -> None:
        low, high = _LEVELS
        if not low <= len(self.latents) <= high or len(self.hidden) != len(self.latents):
            raise ConfigError(
                f"A hierarchy has {low} to {high} levels, each with a latent and a hidden layer, got "
                f"latents={self.latents} and hidden={self.hidden}.",
                mend="Give as many of each, such as latents=16,8 and hidden=256,128.",
            )


#: `tiny` for 8×8 digits, `small` for 28×28, `base` for 32×32 in colour.
HIERARCHICAL_PRESETS: dict[str, Preset] = {
    "tiny": Preset.short({"latents": (8, 4), "hidden": (128, 64), "learning_rate": 2e-3, "warm_up": 500}, epochs=100),
    "small": Preset({"latents": (32, 16, 8), "hidden": (512, 256, 128), "warm_up": 5000}, {"epochs": 50}),
    "base": Preset(
        {"latents": (128, 64, 32), "hidden": (512, 256, 256), "channels": (64, 128), "warm_up": 10_000}, {"epochs": 100}
    ),
}
