"""Options and presets of the diffusion family: one field per choice, each saying what it means."""

from __future__ import annotations

import dataclasses
from typing import Any

from genloom import Preset
from genloom.options import option

__all__ = [
    "DIT_PRESETS",
    "LATENT_PRESETS",
    "MEAN_PRESETS",
    "PRESETS",
    "TRAINING",
    "ConsistencyOptions",
    "DenoisingOptions",
    "DiTOptions",
    "DiffusionOptions",
    "DistilOptions",
    "EDMOptions",
    "FlowOptions",
    "LatentOptions",
    "MeanFlowOptions",
]

#: Names of the functions in `samplers.py`, which imports Keras.
SAMPLERS = ("ddim", "ancestral", "euler", "heun", "dpm_2m", "dpm_2m_sde", "dpm_3m", "unipc", "rk45", "renoise")


@dataclasses.dataclass(frozen=True)
class DenoisingOptions:
    """What every diffusion model is made of, whatever its network: process × target × weighting × sampler."""

    process: str = option(
        "cosine",
        "Noising process: variance-preserving (cosine, linear, sigmoid, interpolant), exploding, or a straight flow.",
        choices=("cosine", "linear", "sigmoid", "exploding", "flow", "interpolant"),
        fixed=True,
    )
    sigma_max: float = option(
        20.0, "Largest noise of the exploding process, over `data_deviation`.", minimum=1e-2, maximum=1e4, fixed=True
    )
    sigma_min: float = option(
        0.01, "Least noise of the exploding process, over `data_deviation`.", minimum=1e-6, maximum=1e4, fixed=True
    )
    data_deviation: float = option(
        1.0,
        "The normalised data, in [-1, 1] where bounded, are divided by this before noise is added.",
        minimum=1e-3,
        fixed=True,
        maximum=1e3,
    )
    target: str = option(
        "velocity",
        "What the network predicts: the noise, the velocity (with unit variance that of EDM), the data, or the flow.",
        choices=("noise", "velocity", "data", "flow"),
        fixed=True,
    )
    weighting: str = option(
        "simple",
        "Weight of each noise level: `simple` weights the target's own error by 1, a target's name that target's.",
        choices=("simple", "noise", "velocity", "data", "flow", "min_snr", "sigmoid"),
    )
    levels: str = option(
        "uniform", "Noise levels in training: even along the process, or log σ/α from a normal distribution.",
        choices=("uniform", "normal"),
    )  # fmt: skip
    level_mean: float = option(0.0, "Mean of log σ/α under levels=normal.", minimum=-10.0, maximum=10.0)
    level_deviation: float = option(
        1.0, "Standard deviation of log σ/α under levels=normal.", minimum=1e-3, maximum=10.0
    )
    sampler: str = option(
        "ddim",
        "Sampler unless another is asked for; heun calls the network 2 × steps - 1 times, rk45 up to 6 × steps + 1.",
        choices=SAMPLERS,
    )  # fmt: skip
    steps: int = option(50, "Noise levels at which the network is called for a sample.", minimum=1)
    spacing: str = option(
        "uniform", "Levels of sampling: even along the process, in log-SNR, or in (σ/α)^(1/7) (Karras et al. 2022).",
        choices=("uniform", "log_snr", "karras"),
    )  # fmt: skip
    eta: float = option(0.0, "Noise that DDIM adds: 0 none, 1 as much as ancestral sampling.", minimum=0.0, maximum=1.0)
    churn: float = option(
        0.0, "Noise that heun adds, S_churn of Karras et al. 2022; 0 is deterministic.", minimum=0.0, maximum=1e4
    )
    tolerance: float = option(
        1e-4, "Error of a step that rk45 allows, for data of unit variance; its steps are `steps` at most.",
        minimum=1e-6, maximum=1.0,
    )  # fmt: skip
    clip: bool = option(True, "Clip the predicted clean data to the value range while sampling (bounded data only).")
    threshold: float = option(
        0.0,
        "Dynamic thresholding: a sample is clipped at the size that this share of its values keeps, then scaled back; "
        "0 clips all at the value range.",
        minimum=0.0,
        maximum=1.0,
    )
    guidance: float = option(
        1.0, "Classifier-free guidance: 1 none, larger follows the label more.", minimum=0.0, maximum=1e3
    )
    guidance_from: float = option(
        0.0, "Guidance acts from this position of the process, 0 the data,", minimum=0.0, maximum=1.0
    )
    guidance_to: float = option(
        1.0, "to this one, 1 the noise; less than all of it keeps variety.", minimum=0.0, maximum=1.0
    )
    conditional: bool = option(True, "Condition on labels where the data has them.")
    label_dropout: float = option(
        0.1, "Share of training labels hidden, so that guidance has an unconditional model.", minimum=0.0, maximum=1.0
    )
    learning_rate: float = option(1e-3, "Adam's rate.", minimum=1e-8)


@dataclasses.dataclass(frozen=True)
class DiffusionOptions(DenoisingOptions):
    """The same with a U-Net, or a dense network for vectors."""

    channels: tuple[int, ...] = option((64, 128), "Channels of each level of the U-Net, finest first.", minimum=1)
    blocks: int = option(2, "Residual blocks per level.", minimum=1)
    attention: tuple[int, ...] = option(
        (), "Levels with self-attention, 0 the finest; the middle always has it.", minimum=0
    )
    heads: int = option(1, "Attention heads.", minimum=1)
    patch: int = option(1, "Side of the blocks folded into channels: 2 costs a quarter of an image.", minimum=1)
    embedding: int = option(128, "Width of the vector of time and label.", minimum=8)
    frequency: float = option(
        1000.0, "Highest angular frequency of the time, but in dense networks; low for a model differentiated by it.",
        minimum=1.0, fixed=True,
    )  # fmt: skip
    dropout: float = option(0.0, "Dropout in the residual blocks.", minimum=0.0, maximum=0.9)
    width: int = option(128, "Width of the dense denoiser of vectors.", minimum=1)
    depth: int = option(3, "Residual layers of the dense denoiser of vectors.", minimum=1)


def _again(name: str, default: Any) -> Any:
    """Return the declaration of an option of `DiffusionOptions` with another default."""
    return dataclasses.field(default=default, metadata=DiffusionOptions.__dataclass_fields__[name].metadata)


@dataclasses.dataclass(frozen=True)
class EDMOptions(DiffusionOptions):
    """The choices of Karras et al. 2022, table 1: the noise from .002 to 80 on data of deviation .5."""

    process: str = _again("process", "exploding")
    sigma_max: float = _again("sigma_max", 160.0)
    sigma_min: float = _again("sigma_min", 0.004)
    data_deviation: float = _again("data_deviation", 0.5)
    levels: str = _again("levels", "normal")
    level_mean: float = _again("level_mean", -0.5)
    level_deviation: float = _again("level_deviation", 1.2)
    sampler: str = _again("sampler", "heun")
    steps: int = _again("steps", 18)
    spacing: str = _again("spacing", "karras")


@dataclasses.dataclass(frozen=True)
class FlowOptions(DiffusionOptions):
    """Rectified flow (Liu et al. 2023), its levels drawn as in Esser et al. 2024, section 3.1."""

    process: str = _again("process", "flow")
    target: str = _again("target", "flow")
    levels: str = _again("levels", "normal")
    sampler: str = _again("sampler", "euler")
    coupling: str = option(
        "independent", "Which noise goes with which data: any, or the nearest within a batch and class (ot).",
        choices=("independent", "ot"),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ConsistencyOptions(DiffusionOptions):
    """Consistency training in continuous time (Lu and Song 2025)."""

    target: str = option("velocity", "The network predicts the velocity.", choices=("velocity",))
    weighting: str = option("simple", "Each sample's tangent is weighed by itself, see `calm`.", choices=("simple",))
    levels: str = _again("levels", "normal")
    level_mean: float = _again("level_mean", -1.0)
    level_deviation: float = _again("level_deviation", 1.4)
    sampler: str = _again("sampler", "renoise")
    steps: int = _again("steps", 1)
    frequency: float = _again("frequency", 30.0)
    ramp: int = option(1000, "Steps over which training goes over from diffusion to consistency, linearly.", minimum=0)
    calm: float = option(0.1, "A tangent g counts with g/(|g| + calm).", minimum=1e-6)


@dataclasses.dataclass(frozen=True)
class DiTOptions(DenoisingOptions):
    """A diffusion transformer (Peebles and Xie 2023) of a rectified flow (Ma et al. 2024).

    target=data and weighting=flow are those of Li and He 2025 for large patches; on small ones the flow learns better.
    """

    process: str = _again("process", "flow")
    target: str = _again("target", "flow")
    levels: str = _again("levels", "normal")
    sampler: str = _again("sampler", "heun")
    steps: int = _again("steps", 25)
    width: int = option(384, "Size of a token.", minimum=2)
    depth: int = option(12, "Blocks of attention and a network.", minimum=1)
    heads: int = option(6, "Attention heads, which divide the width.", minimum=1)
    patch: int = option(2, "Side of the blocks of places that become a token each.", minimum=1)
    frequency: float = _again("frequency", 1000.0)
    dropout: float = option(0.0, "Dropout in the blocks.", minimum=0.0, maximum=0.9)


@dataclasses.dataclass(frozen=True)
class LatentOptions(DiffusionOptions):
    """Diffusion of the codes of an autoencoder (Rombach et al. 2022)."""

    autoencoder: str = option(
        "", "Run of a trained model of the same data whose codes are diffused; it is kept as part of the new run.",
        run=("encode", "decode"),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class MeanFlowOptions(FlowOptions):
    """Mean flows (Geng et al. 2025a), or shortcut models (Frans et al. 2025).

    Even levels instead of those of the paper's table 1, which hardly visit the ends that one jump goes between.
    """

    process: str = option("flow", "Mean flows are straight.", choices=("flow",))
    target: str = option("flow", "The network predicts the flow, averaged over a stretch.", choices=("flow",))
    weighting: str = option("simple", "Each sample's error is weighed by itself, see `power`.", choices=("simple",))
    levels: str = _again("levels", "uniform")
    sampler: str = option(
        "mean", "Sampler used unless another is asked for: `mean` jumps, the others follow the flow.",
        choices=("mean", *SAMPLERS),
    )  # fmt: skip
    steps: int = _again("steps", 1)
    frequency: float = _again("frequency", 30.0)
    mean_share: float = option(
        0.75, "Share of a batch that learns means over a stretch; the rest learns the flow.", minimum=0.0, maximum=1.0
    )
    rule: str = option(
        "derivative",
        "What holds the average together: its derivative (mean flows), or its two halves (shortcut models).",
        choices=("derivative", "halves"),
    )
    tangent: str = option(
        "predicted",
        "The derivative is taken along the network's own flow (improved MeanFlow), or that of each data and noise.",
        choices=("predicted", "conditional"),
    )
    power: float = option(1.0, "The error counts with 1/(error + .001)^power: 0 is a plain square.", minimum=0.0)


@dataclasses.dataclass(frozen=True)
class DistilOptions:
    """Options of `diffusion/distil`."""

    guidance: float = option(
        1.0, "Classifier-free guidance of the teacher; the student needs none then.", minimum=0.0, maximum=1e3
    )
    steps: int = option(16, "Network calls of the teacher for a pair of noise and sample (reflow).", minimum=1)


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

#: The same for mean flows, whose derivative wants a lower rate.
MEAN_PRESETS: dict[str, Preset] = {
    **PRESETS,
    "tiny": dataclasses.replace(PRESETS["tiny"], options={**PRESETS["tiny"].options, "learning_rate": 1e-3}),
}

#: The same for codes, which are small already.
LATENT_PRESETS: dict[str, Preset] = {
    name: dataclasses.replace(preset, options={**preset.options, "patch": 1}) for name, preset in PRESETS.items()
}

#: The same for transformers.
DIT_PRESETS: dict[str, Preset] = {
    "tiny": Preset.short({"width": 64, "depth": 4, "heads": 4, "learning_rate": 2e-3},
        every=25, epochs=75, ema=0.995, schedule="cosine", warmup_steps=50),
    "small": Preset({"width": 192, "depth": 6, "heads": 6, "patch": 4},
        {"batch_size": 128, "epochs": 20, "ema": 0.999}),
    "base": Preset({"width": 384, "depth": 12, "heads": 6, "patch": 2, "learning_rate": 1e-4},
        {"batch_size": 128, "epochs": 200, "ema": 0.9999}),
}  # fmt: skip
