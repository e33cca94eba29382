"""Options and presets of the diffusion family: one field per choice, each saying what it means."""

from __future__ import annotations

import dataclasses
from typing import Any

from genloom import Preset
from genloom.options import option

__all__ = ["PRESETS", "TRAINING", "DiffusionOptions"]


@dataclasses.dataclass(frozen=True)
class DiffusionOptions:
    """What a diffusion model is made of: process × target × weighting × sampler, and the network."""

    process: str = option(
        "cosine",
        "Noising process: variance-preserving with a cosine or linear schedule, or variance-exploding.",
        choices=("cosine", "linear", "exploding"),
    )
    sigma_max: float = option(20.0, "Largest noise of the exploding process, in units of [-1, 1].", minimum=1e-2)
    target: str = option(
        "velocity", "What the network predicts: the noise, the velocity, or the clean data.",
        choices=("noise", "velocity", "data"),
    )  # fmt: skip
    weighting: str = option(
        "simple", "Weight of each noise level: `simple` weights the target's own error by 1.",
        choices=("simple", "noise", "data", "min_snr", "sigmoid"),
    )  # fmt: skip
    sampler: str = option("ddim", "Sampler used unless another is asked for.", choices=("ddim", "ancestral"))
    steps: int = option(50, "Network evaluations per sample.", minimum=1)
    eta: float = option(0.0, "Noise that DDIM adds: 0 none, 1 as much as ancestral sampling.", minimum=0.0, maximum=1.0)
    clip: bool = option(True, "Clip the predicted clean data to the value range while sampling (bounded data only).")
    guidance: float = option(1.0, "Classifier-free guidance: 1 none, larger follows the label more.", minimum=0.0)
    conditional: bool = option(True, "Condition on labels where the data has them.")
    label_dropout: float = option(
        0.1, "Share of training labels hidden, so that guidance has an unconditional model.", minimum=0.0, maximum=1.0
    )
    channels: tuple[int, ...] = option((64, 128), "Channels of each level of the U-Net, finest first.", minimum=1)
    blocks: int = option(2, "Residual blocks per level.", minimum=1)
    attention: tuple[int, ...] = option(
        (), "Levels with self-attention, 0 the finest; the middle always has it.", minimum=0
    )
    heads: int = option(1, "Attention heads.", minimum=1)
    patch: int = option(1, "Side of the pixel squares folded into channels: 2 costs a quarter.", minimum=1)
    embedding: int = option(128, "Width of the vector of time and label.", minimum=8)
    dropout: float = option(0.0, "Dropout in the residual blocks.", minimum=0.0, maximum=0.9)
    width: int = option(128, "Width of the dense denoiser of signals.", minimum=1)
    depth: int = option(3, "Residual layers of the dense denoiser of signals.", minimum=1)
    learning_rate: float = option(1e-3, "Adam's rate.", minimum=1e-8)


#: Training settings of the family; EMA is what samples come from.
TRAINING: dict[str, Any] = {"batch_size": 128, "ema": 0.999}

#: `tiny` for 8×8 digits, `small` for 28×28, `base` for 32×32 in colour.
PRESETS: dict[str, Preset] = {
    "tiny": Preset.short({
            "channels": (40,), "blocks": 1, "patch": 2, "embedding": 64, "width": 64, "heads": 4, "learning_rate": 4e-3,
        },
        every=25, epochs=75, ema=0.995, schedule="cosine", warmup_steps=50),
    "small": Preset({"channels": (32, 64), "blocks": 1, "attention": (1,), "patch": 2, "heads": 4},
        {"batch_size": 128, "epochs": 20, "ema": 0.999}),
    "base": Preset({
            "channels": (64, 128, 128), "blocks": 2, "attention": (1,), "heads": 4, "dropout": 0.1,
            "learning_rate": 2e-4,
        },
        {"batch_size": 128, "epochs": 200, "ema": 0.9999}),
}  # fmt: skip
