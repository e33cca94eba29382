"""Priors over the latent, one file each, found by the value of the option `prior`."""

from __future__ import annotations

from typing import Any

from genloom_vae.priors.mixture import MixturePrior
from genloom_vae.priors.prior import Prior
from genloom_vae.priors.standard import StandardPrior

__all__ = ["MixturePrior", "Prior", "StandardPrior", "prior_of"]


def prior_of(options: Any, classes: int) -> Prior:
    """Return the prior that the options name, for labels of so many classes, 0 without."""
    if options.prior == "mixture":
        return MixturePrior(options.latent, options.components, classes)
    return StandardPrior(options.latent)
