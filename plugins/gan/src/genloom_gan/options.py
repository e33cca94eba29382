"""Options of the adversarial models, light enough to list without Keras."""

from __future__ import annotations

import dataclasses
from typing import Any

from genloom import Preset
from genloom.options import option

__all__ = [
    "DCGAN_PRESETS",
    "MLP_PRESETS",
    "TRAINING",
    "WGANGP_PRESETS",
    "DCGANOptions",
    "GANOptions",
    "MLPOptions",
    "WGANGPOptions",
]


@dataclasses.dataclass(frozen=True)
class GANOptions:
    """What every adversarial model can be asked."""

    latent: int = option(64, "size of the noise vector", minimum=1)
    conditional: bool = option(True, "condition on labels where the data has them")
    learning_rate: float = option(5e-4, "step size of both Adams", minimum=0.0)
    beta_1: float = option(
        0.0, "first-moment decay of both Adams; low, for the target keeps moving", minimum=0.0, maximum=0.999
    )
    activation: str = option(
        "leaky_relu",
        "of the discriminator's hidden layers; with silu a penalty on its gradient is smooth in the weights",
        choices=("leaky_relu", "silu"),
    )


@dataclasses.dataclass(frozen=True)
class MLPOptions(GANOptions):
    """Options of `gan/mlp`."""

    loss: str = option(
        "relativistic",
        "adversarial loss; relativistic compares pairs and drops no modes (Huang et al. 2024), non-saturating is the "
        "GAN of 2014",
        choices=("non-saturating", "hinge", "relativistic"),
    )
    hidden: tuple[int, ...] = option((256, 256), "width of each hidden layer of both networks", minimum=1)
    r1: float = option(0.2, "γ of the R1 penalty on real samples, which makes the game converge", minimum=0.0)
    r2: float = option(0.2, "γ of the R2 penalty on generated samples", minimum=0.0)
    dropout: float = option(0.0, "dropout rate of the discriminator", minimum=0.0, maximum=0.9)


@dataclasses.dataclass(frozen=True)
class ConvOptions(GANOptions):
    """What the convolutional models share."""

    channels: tuple[int, ...] = option(
        (32, 64), "channels of each level of the discriminator, the generator's reversed", minimum=1
    )


@dataclasses.dataclass(frozen=True)
class DCGANOptions(ConvOptions):
    """Options of `gan/dcgan`."""

    beta_1: float = option(0.5, "first-moment decay of both Adams (Radford et al. 2016)", minimum=0.0, maximum=0.999)
    r1: float = option(0.0, "γ of the R1 penalty on real samples; replaces batch normalisation", minimum=0.0)
    dropout: float = option(0.0, "dropout rate of the discriminator", minimum=0.0, maximum=0.9)


@dataclasses.dataclass(frozen=True)
class WGANGPOptions(ConvOptions):
    """Options of `gan/wgan-gp`."""

    n_critic: int = option(5, "critic updates per generator update, each on fresh data", minimum=1)
    penalty: float = option(10.0, "λ of the gradient penalty (Gulrajani et al. 2017)", minimum=0.0)


#: Training settings of the family; samples come from the moving average of the generator's weights.
TRAINING: dict[str, Any] = {"batch_size": 64, "ema": 0.999}

#: `tiny` for 8×8 digits, `small` for 28×28, `base` for 32×32 in colour.
MLP_PRESETS: dict[str, Preset] = {
    "tiny": Preset.short({"latent": 32, "hidden": (256, 256)}, epochs=80),
    "small": Preset({"hidden": (512, 512)}, {"batch_size": 128, "epochs": 30}),
    "base": Preset(
        {"latent": 128, "hidden": (1024, 1024, 1024), "learning_rate": 2e-4}, {"batch_size": 128, "epochs": 100}
    ),
}
DCGAN_PRESETS: dict[str, Preset] = {
    "tiny": Preset.short({"latent": 32, "channels": (32, 64)}, epochs=50),
    "small": Preset({"channels": (64, 128), "learning_rate": 2e-4}, {"batch_size": 128, "epochs": 20}),
    "base": Preset(
        {"latent": 128, "channels": (64, 128, 256), "learning_rate": 2e-4}, {"batch_size": 128, "epochs": 100}
    ),
}
WGANGP_PRESETS: dict[str, Preset] = {
    "tiny": Preset.short({"latent": 32, "channels": (32, 64), "n_critic": 3}, epochs=30),
    "small": Preset({"channels": (64, 128), "learning_rate": 1e-4}, {"batch_size": 64, "epochs": 20}),
    "base": Preset(
        {"latent": 128, "channels": (128, 256, 256), "learning_rate": 1e-4}, {"batch_size": 64, "epochs": 100}
    ),
}
