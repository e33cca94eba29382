"""Options of the variational autoencoders, light enough to list without Keras."""

from __future__ import annotations

import dataclasses
from typing import Any

from genloom import Preset
from genloom.options import option

__all__ = ["CONV_PRESETS", "MLP_PRESETS", "TRAINING", "ConvOptions", "MLPOptions", "VAEOptions"]


@dataclasses.dataclass(frozen=True)
class VAEOptions:
    """What every variational autoencoder can be asked."""

    latent: int = option(16, "size of the latent vector", minimum=1)
    likelihood: str = option(
        "gaussian",
        "p(x|z): gaussian with one learned σ, gaussian-diagonal with a σ of each value from the decoder; bernoulli for "
        "data in {0, 1}; categorical and logistic-mixture (levels in order) for data of known levels, in bits",
        choices=("gaussian", "gaussian-diagonal", "bernoulli", "categorical", "logistic-mixture"),
        fixed=True,
    )
    posterior: str = option("gaussian", "q(z|x): gaussian with a diagonal covariance", choices=("gaussian",))
    mixtures: int = option(5, "logistics of likelihood=logistic-mixture", minimum=1)
    dequantise: bool = option(
        False, "with a gaussian: add uniform noise of one level to data of known levels; then bits are counted of it"
    )
    prior: str = option(
        "mixture",
        "p(z), or p(z|label) with labels: standard is N(0, I), mixture a learned mixture of Gaussians",
        choices=("standard", "mixture"),
    )
    components: int = option(10, "Gaussians of a mixture prior, for each label", minimum=1)
    beta: float = option(1.0, "weight of the KL term; 1 is the evidence lower bound", minimum=0.0)
    conditional: bool = option(True, "condition on labels where the data has them")
    observation_noise: float = option(
        0.0, "share of the likelihood's own noise added to samples: 0 shows its mean, 1 samples it", minimum=0.0
    )
    learning_rate: float = option(1e-3, "step size of Adam", minimum=0.0)


@dataclasses.dataclass(frozen=True)
class MLPOptions(VAEOptions):
    """Options of `vae/mlp`."""

    hidden: tuple[int, ...] = option((256, 256), "width of each hidden layer, the decoder's reversed", minimum=1)


@dataclasses.dataclass(frozen=True)
class ConvOptions(VAEOptions):
    """Options of `vae/conv`."""

    channels: tuple[int, ...] = option((32, 64), "channels of each level; each level halves the sides", minimum=1)
    hidden: tuple[int, ...] = option((256,), "width of each dense layer between the levels and the latent", minimum=1)


#: Training settings of the family; samples come from the moving average of the weights.
TRAINING: dict[str, Any] = {"batch_size": 128, "ema": 0.999}

#: `tiny` for 8×8 digits, `small` for 28×28, `base` for 32×32 in colour.
MLP_PRESETS: dict[str, Preset] = {
    "tiny": Preset.short({"latent": 8, "learning_rate": 2e-3}, epochs=150),
    "small": Preset({"latent": 32, "hidden": (512, 256)}, {"epochs": 30}),
    "base": Preset({"latent": 128, "hidden": (1024, 512)}, {"epochs": 100}),
}
CONV_PRESETS: dict[str, Preset] = {
    "tiny": Preset.short({"latent": 8, "channels": (16, 48), "learning_rate": 3e-3}, epochs=60),
    "small": Preset({"latent": 32, "channels": (32, 64)}, {"epochs": 20}),
    "base": Preset({"latent": 128, "channels": (64, 128, 256), "hidden": (512,)}, {"epochs": 100}),
}
