"""Forms of q(z|x): what an encoder's output means, one file each, found by the value of the option `posterior`."""

from __future__ import annotations

from collections.abc import Mapping

from genloom_vae.posteriors.autoregressive import AutoregressivePosterior
from genloom_vae.posteriors.gaussian import DiagonalGaussian, GaussianPosterior
from genloom_vae.posteriors.point import PointPosterior
from genloom_vae.posteriors.posterior import Posterior, Q
from genloom_vae.posteriors.sphere import SpherePosterior, VonMisesFisher

__all__ = [
    "POSTERIORS",
    "AutoregressivePosterior",
    "DiagonalGaussian",
    "GaussianPosterior",
    "PointPosterior",
    "Posterior",
    "Q",
    "SpherePosterior",
    "VonMisesFisher",
]

#: Value of the option `posterior` → its class.
POSTERIORS: Mapping[str, type[Posterior]] = {
    "gaussian": GaussianPosterior,
    "flow": AutoregressivePosterior,
    "sphere": SpherePosterior,
    "point": PointPosterior,
}
