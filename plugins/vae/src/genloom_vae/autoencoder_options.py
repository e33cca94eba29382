"""Options of the KL-autoencoder, light enough to list without Keras."""

from __future__ import annotations

import dataclasses

from genloom import Preset
from genloom.options import option

__all__ = ["AUTOENCODER_PRESETS", "AutoencoderOptions"]


@dataclasses.dataclass(frozen=True)
class AutoencoderOptions:
    """Options of `vae/autoencoder`."""

    latent: int = option(4, "channels of the latent; its sides are the image's, halved once for each level", minimum=1)
    channels: tuple[int, ...] = option((64, 128), "channels of each level; each level halves the sides", minimum=1)
    blocks: int = option(1, "residual blocks of each level", minimum=0)
    kl_weight: float = option(1e-6, "weight of the KL term: just enough that latents stay bounded", minimum=0.0)
    critic_weight: float = option(
        0.1,
        "weight of the patch critic, which asks for texture where the error asks for a mean; 0 for none",
        minimum=0.0,
    )
    critic_start: int = option(
        1000, "steps before the critic joins, for what is not yet learned is no texture", minimum=0
    )
    critic_channels: tuple[int, ...] = option((64, 128), "channels of each level of the critic", minimum=1)
    balance: bool = option(
        True, "let the critic pull as strongly as the error does, times its weight (Esser et al. 2021)"
    )
    learning_rate: float = option(1e-3, "step size of both Adams", minimum=0.0)


#: `tiny` for 8×8 digits, `small` for 28×28, `base` for 32×32 in colour and larger.
AUTOENCODER_PRESETS: dict[str, Preset] = {
    "tiny": Preset.short(
        {"latent": 2, "channels": (32,), "critic_channels": (32,), "critic_start": 600, "learning_rate": 2e-3},
        epochs=60,
    ),
    "small": Preset({"latent": 3, "channels": (32, 64), "critic_channels": (32, 64)}, {"epochs": 20}),
    "base": Preset({"channels": (64, 128), "blocks": 2, "critic_start": 5000}, {"epochs": 100}),
}
