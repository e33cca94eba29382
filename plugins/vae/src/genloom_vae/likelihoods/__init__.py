"""What the decoder's output means: p(x|z) over normalised samples in [-1, 1], and how a sample is read from it."""

from __future__ import annotations

from typing import Any

from genloom.data import DataSpec
from genloom_vae.likelihoods.bernoulli import BernoulliLikelihood
from genloom_vae.likelihoods.categorical import CategoricalLikelihood
from genloom_vae.likelihoods.gaussian import DiagonalLikelihood, GaussianLikelihood
from genloom_vae.likelihoods.likelihood import Likelihood
from genloom_vae.likelihoods.logistic import LogisticMixtureLikelihood

__all__ = [
    "LIKELIHOODS",
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "DiagonalLikelihood",
    "GaussianLikelihood",
    "Likelihood",
    "LogisticMixtureLikelihood",
    "decoder_shape",
    "likelihood_of",
]

#: Value of the option `likelihood` → what it is.
LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": GaussianLikelihood,
    "gaussian-diagonal": DiagonalLikelihood,
    "bernoulli": BernoulliLikelihood,
    "categorical": CategoricalLikelihood,
    "logistic-mixture": LogisticMixtureLikelihood,
}


def likelihood_of(spec: DataSpec, options: Any) -> Likelihood:
    """Return the likelihood that options ask for.

    Raises:
        ConfigError: one that these data cannot have, such as one of levels where there are none.
    """
    return LIKELIHOODS[options.likelihood].made(spec, options)


def decoder_shape(spec: DataSpec, options: Any) -> tuple[int, ...]:
    """Return the shape of a decoder's output for one sample, without the batch axis."""
    return LIKELIHOODS[options.likelihood].decoder_shape(spec, options)
