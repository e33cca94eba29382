"""Options of the models of discrete codes, light enough to list without Keras."""

from __future__ import annotations

import dataclasses

from genloom import Preset
from genloom.options import option

__all__ = ["FSQ_PRESETS", "VQ_PRESETS", "CodeOptions", "FSQOptions", "VQOptions"]


@dataclasses.dataclass(frozen=True)
class CodeOptions:
    """What models of codes share."""

    channels: tuple[int, ...] = option(
        (64, 128), "of images: channels of each level; each level halves the sides", minimum=1
    )
    blocks: int = option(1, "of images: residual blocks of each level", minimum=0)
    places: int = option(8, "of other data: codes of a sample", minimum=1)
    hidden: tuple[int, ...] = option(
        (256, 256), "of other data: width of each hidden layer, the decoder's reversed", minimum=1
    )
    likelihood: str = option(
        "gaussian",
        "p(x|c): gaussian with one learned σ, gaussian-diagonal with a σ of each value; bernoulli for data in {0, 1}; "
        "categorical and logistic-mixture for data of known levels, in bits",
        choices=("gaussian", "gaussian-diagonal", "bernoulli", "categorical", "logistic-mixture"),
        fixed=True,
    )
    mixtures: int = option(5, "logistics of likelihood=logistic-mixture", minimum=1, fixed=True)
    conditional: bool = option(True, "let the prior of the codes know labels where the data has them")
    prior_layers: int = option(2, "transformer blocks of the prior", minimum=0)
    prior_heads: int = option(4, "its attention heads, which divide its width", minimum=1)
    prior_width: int = option(128, "its width", minimum=1)
    prior_dropout: float = option(0.1, "share of its units left out in training", minimum=0.0, maximum=0.9)
    temperature: float = option(1.0, "of the prior's draws; lower is safer, 0 takes the likeliest codes", minimum=0.0)
    observation_noise: float = option(
        0.0, "share of the likelihood's own noise added to samples: 0 shows its mean, 1 samples it", minimum=0.0
    )
    learning_rate: float = option(1e-3, "step size of both Adams", minimum=0.0)


@dataclasses.dataclass(frozen=True)
class FSQOptions(CodeOptions):
    """Options of `vae/fsq`."""

    levels: tuple[int, ...] = option(
        (8, 5, 5, 5), "values of each channel; their product is the number of codes", minimum=2, fixed=True
    )


@dataclasses.dataclass(frozen=True)
class VQOptions(CodeOptions):
    """Options of `vae/vq`."""

    codes: int = option(512, "how many vectors there are to choose from", minimum=2)
    width: int = option(16, "length of a code's vector", minimum=1)
    commitment: float = option(0.25, "β: how strongly the encoder keeps to its codes", minimum=0.0)
    decay: float = option(0.99, "γ of the averages that move the codes", minimum=0.0, maximum=0.99999)
    restart: float = option(
        0.1,
        "a code that is chosen less than this share of its even part starts anew; 0 for never",
        minimum=0.0,
        maximum=0.9,
    )


_TINY = {"channels": (32,), "prior_width": 64, "learning_rate": 2e-3}
_SMALL = {"channels": (32, 64)}
_BASE = {"channels": (64, 128), "blocks": 2, "prior_layers": 6, "prior_width": 256}

#: `tiny` for 8×8 digits, `small` for 28×28, `base` for 32×32 in colour.
FSQ_PRESETS: dict[str, Preset] = {
    "tiny": Preset.short({**_TINY, "levels": (5, 5, 5)}, epochs=30),
    "small": Preset({**_SMALL, "levels": (8, 6, 5)}, {"epochs": 20}),
    "base": Preset(_BASE, {"epochs": 100}),
}
VQ_PRESETS: dict[str, Preset] = {
    "tiny": Preset.short({**_TINY, "codes": 128, "width": 8}, epochs=30),
    "small": Preset({**_SMALL, "codes": 256}, {"epochs": 20}),
    "base": Preset({**_BASE, "codes": 1024}, {"epochs": 100}),
}
