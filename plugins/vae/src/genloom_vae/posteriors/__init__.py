"""Forms of q(z|x): what an encoder's output means, one file each, found by the value of the option `posterior`."""

from __future__ import annotations

from collections.abc import Mapping

from genloom_vae.posteriors.gaussian import DiagonalGaussian, GaussianPosterior
from genloom_vae.posteriors.posterior import Posterior, Q

__all__ = ["POSTERIORS", "DiagonalGaussian", "GaussianPosterior", "Posterior", "Q"]

#: Value of the option `posterior` → its class.
POSTERIORS: Mapping[str, type[Posterior]] = {"gaussian": GaussianPosterior}
