"""Options and presets of masked diffusion: one field per choice, each saying what it means."""

from __future__ import annotations

import dataclasses
from typing import Any

from genloom import Preset
from genloom.options import option

__all__ = ["LEVELS_PRESETS", "LEVELS_TRAINING", "MASKED_PRESETS", "MASKED_TRAINING", "LevelsOptions", "MaskedOptions"]


@dataclasses.dataclass(frozen=True)
class MaskedOptions:
    """What masked diffusion is made of: schedule × weighting × sampler, and the network."""

    schedule: str = option(
        "linear", "How the masked share grows with time; cosine masks more.", choices=("linear", "cosine")
    )
    weighting: str = option(
        "bound",
        "Weight of a masked token: that of the bound, or `simple`, all times alike; for a linear schedule the same.",
        choices=("bound", "simple"),
    )
    sampler: str = option(
        "ancestral",
        "Sampler used unless another is asked for: the reverse process, `random` places, or the surest tokens first.",
        choices=("ancestral", "random", "confidence"),
    )
    steps: int = option(64, "Network calls for a sample.", minimum=1)
    temperature: float = option(1.0, "Divides the logits; 0 takes the likeliest token.", minimum=0.0)
    hesitation: float = option(
        4.5, "Of `confidence`: noise of the order at the beginning, falling to 0 (Chang et al. 2022).", minimum=0.0
    )
    layers: int = option(4, "Transformer blocks.", minimum=1)
    heads: int = option(4, "Attention heads, each an even part of the width.", minimum=1)
    width: int = option(128, "Size of a token's vector.", minimum=2)
    dropout: float = option(0.0, "Share of units left out in training.", minimum=0.0, maximum=0.9)
    learning_rate: float = option(1e-3, "AdamW's rate.", minimum=1e-8)
    weight_decay: float = option(0.1, "Decoupled decay of matrices.", minimum=0.0)


@dataclasses.dataclass(frozen=True)
class LevelsOptions(MaskedOptions):
    """The same of pictures, signals and tables whose values are levels."""

    conditional: bool = option(True, "Condition on labels where the data has them.")
    label_dropout: float = option(
        0.1, "Share of training labels hidden, so that guidance has an unconditional model.", minimum=0.0, maximum=1.0
    )
    guidance: float = option(
        1.0, "Classifier-free guidance: 1 none, larger follows the label more.", minimum=0.0, maximum=1e3
    )


#: Training settings; EMA is what samples come from.
MASKED_TRAINING: dict[str, Any] = {"clip": 1.0, "ema": 0.999, "post": ("language/detokenise",)}

#: `tiny` for minutes on a CPU, `small` for an hour.
MASKED_PRESETS: dict[str, Preset] = {
    "tiny": Preset({"layers": 2, "heads": 2, "width": 64, "learning_rate": 3e-3},
        {"steps": 500, "batch_size": 16, "ema": 0.99, "schedule": "cosine", "warmup_steps": 50}),
    "small": Preset({"learning_rate": 3e-3},
        {"steps": 5000, "batch_size": 32, "ema": 0.995, "schedule": "cosine", "warmup_steps": 100}),
}  # fmt: skip

#: The same of levels, whose batches are larger: `tiny` for 8×8 digits, `small` for 28×28.
LEVELS_TRAINING: dict[str, Any] = {"clip": 1.0, "ema": 0.999, "batch_size": 128}
LEVELS_PRESETS: dict[str, Preset] = {
    "tiny": Preset.short({"layers": 3, "heads": 4, "width": 64, "learning_rate": 2e-3},
        every=25, epochs=75, ema=0.99, schedule="cosine", warmup_steps=50),
    "small": Preset({"learning_rate": 1e-3}, {"epochs": 20, "schedule": "cosine", "warmup_steps": 100}),
}  # fmt: skip
