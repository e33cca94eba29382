"""Options of the variational autoencoders, light enough to list without Keras."""

from __future__ import annotations

import dataclasses
from typing import Any

from genloom import Preset
from genloom.options import option
from genloom_vae.checks import check_importance, check_options

__all__ = [
    "CONV_PRESETS",
    "MLP_PRESETS",
    "TRAINING",
    "ConvOptions",
    "IWAEOptions",
    "MLPOptions",
    "RAEOptions",
    "VAEOptions",
    "WAEOptions",
]


def _changed(cls: Any, name: str, default: Any) -> Any:
    """Return an option as another class declares it, with another default."""
    return dataclasses.field(default=default, metadata=cls.__dataclass_fields__[name].metadata)


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
    posterior: str = option(
        "gaussian",
        "q(z|x): a diagonal gaussian, flow (bent by autoregressive steps), sphere (von Mises-Fisher), or one point",
        choices=("gaussian", "flow", "sphere", "point"),
    )
    mixtures: int = option(5, "logistics of likelihood=logistic-mixture", minimum=1)
    dequantise: bool = option(
        False, "with a gaussian: add uniform noise of one level to data of known levels; then bits are counted of it"
    )
    prior: str = option(
        "mixture",
        "p(z), or p(z|label) with labels: standard is N(0, I), mixture a learned mixture of Gaussians, vamp one of "
        "posteriors of learned pseudo-inputs, flow N(0, I) through couplings, uniform that on the sphere",
        choices=("standard", "mixture", "vamp", "flow", "uniform"),
    )
    components: int = option(10, "parts of a mixture or vamp prior, for each label", minimum=1)
    prior_fit: str = option(
        "joint",
        "how a mixture or flow is learned: joint by the bound, codes by likelihood of codes that go towards N(0, I)",
        choices=("joint", "codes"),
    )
    beta: float = option(1.0, "weight of the KL term; 1 is the evidence lower bound", minimum=0.0)
    annealing: str = option(
        "none",
        "how beta grows: linear over annealing_steps, or cyclic in each of them",
        choices=("none", "linear", "cyclic"),
    )
    annealing_steps: int = option(1000, "training steps of a linear ramp, or of one cycle", minimum=1)
    free_bits: float = option(0.0, "nats of KL per dimension that cost nothing (of the batch's mean)", minimum=0.0)
    mmd: float = option(0.0, "weight of the discrepancy between codes and prior (WAE, InfoVAE)", minimum=0.0)
    kernel: str = option("multiquadratics", "kernel of the discrepancy", choices=("multiquadratics", "gaussian"))
    adversarial: float = option(
        0.0, "weight of a critic that tells codes from the prior (adversarial autoencoder)", minimum=0.0
    )
    tc: float = option(
        0.0, "further weight of the codes' total correlation: beta-TC-VAE, FactorVAE with tc_by=critic", minimum=0.0
    )
    tc_by: str = option("batch", "how it is estimated: over the batch, or by a critic", choices=("batch", "critic"))
    decoder_l2: float = option(0.0, "weight of the decoder's squared weights (RAE-L2)", minimum=0.0)
    decoder_gradient: float = option(0.0, "weight of the decoder's squared Jacobian (RAE-GP)", minimum=0.0)
    corruption: float = option(
        0.0, "deviation of noise on what the encoder sees in training, of data in [-1, 1] (denoising)", minimum=0.0
    )
    missing: float = option(
        0.0, "share of values hidden in training, from encoder and likelihood, for `impute`", minimum=0.0, maximum=0.95
    )
    conditional: bool = option(True, "condition on labels where the data has them")
    observation_noise: float = option(
        0.0, "share of the likelihood's own noise added to samples: 0 shows its mean, 1 samples it", minimum=0.0
    )
    learning_rate: float = option(1e-3, "step size of Adam", minimum=0.0)

    def __post_init__(self) -> None:
        check_options(self)


@dataclasses.dataclass(frozen=True)
class MLPOptions(VAEOptions):
    """Options of `vae/mlp`."""

    hidden: tuple[int, ...] = option((256, 256), "width of each hidden layer, the decoder's reversed", minimum=1)


@dataclasses.dataclass(frozen=True)
class IWAEOptions(MLPOptions):
    """Options of `vae/iwae`."""

    draws: int = option(8, "k, codes drawn per sample", minimum=1, maximum=10_000)
    bound: str = option(
        "iwae", "importance-weighted, with a share of the ELBO, or partially", choices=("iwae", "ciwae", "piwae")
    )
    elbo_share: float = option(0.5, "share of the ELBO in bound=ciwae", minimum=0.0, maximum=1.0)
    groups: int = option(2, "bounds of draws/groups draws that the encoder gets under bound=piwae", minimum=1)
    gradient: str = option(
        "plain",
        "through every weight, or dreg: doubly reparameterised, less noise at many draws",
        choices=("plain", "dreg"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_importance(self)


@dataclasses.dataclass(frozen=True)
class WAEOptions(MLPOptions):
    """Options of `vae/wae`: no KL, the codes of a batch together are drawn towards N(0, I)."""

    posterior: str = _changed(MLPOptions, "posterior", "point")
    prior: str = _changed(MLPOptions, "prior", "standard")
    beta: float = _changed(MLPOptions, "beta", 0.0)
    mmd: float = _changed(MLPOptions, "mmd", 10.0)


@dataclasses.dataclass(frozen=True)
class RAEOptions(MLPOptions):
    """Options of `vae/rae`: a code per sample, a smooth decoder, and a prior fitted to the codes."""

    posterior: str = _changed(MLPOptions, "posterior", "point")
    prior_fit: str = _changed(MLPOptions, "prior_fit", "codes")
    decoder_l2: float = _changed(MLPOptions, "decoder_l2", 1e-3)


@dataclasses.dataclass(frozen=True)
class ConvOptions(VAEOptions):
    """Options of `vae/conv`."""

    channels: tuple[int, ...] = option((32, 64), "channels of each level; each level halves the sides", minimum=1)
    blocks: int = option(0, "residual blocks of each level (ResNet); 0: one convolution", minimum=0, maximum=100)
    trend: int = option(0, "of signals: degree of a polynomial of time beside the convolutions", minimum=0, maximum=20)
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
