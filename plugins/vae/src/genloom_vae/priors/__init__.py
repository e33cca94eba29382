"""Priors over the latent, one file each, found by the value of the option `prior`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from genloom_vae.priors.flow import FlowPrior
from genloom_vae.priors.mixture import MixturePrior
from genloom_vae.priors.prior import Prior
from genloom_vae.priors.standard import StandardPrior
from genloom_vae.priors.uniform import UniformPrior
from genloom_vae.priors.vamp import VampPrior

__all__ = ["FlowPrior", "MixturePrior", "Prior", "StandardPrior", "UniformPrior", "VampPrior", "prior_of"]


def prior_of(options: Any, classes: int, shape: Sequence[int], infer: Callable[[Any, Any], Any]) -> Prior:
    """Return the prior that the options name.

    Args:
        options: those of a VAE.
        classes: labels that it depends on, 0 without.
        shape: shape of one sample.
        infer: normalised samples, one-hot labels → q, for a prior made of posteriors.
    """
    size = options.latent
    if options.prior == "mixture":
        return MixturePrior(size, options.components, classes)
    if options.prior == "vamp":
        return VampPrior(size, options.components, classes, shape, infer)
    if options.prior == "flow":
        return FlowPrior(size, classes)
    return UniformPrior(size) if options.prior == "uniform" else StandardPrior(size)
