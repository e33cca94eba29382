"""q(z|x) = von Mises–Fisher on the unit sphere (Davidson et al. 2018), by quadrature instead of Bessel functions.

With w = μᵀz = cos θ, the density of the angle is exp(κ cos θ) sin^(d−2) θ / Z(κ). Z, E[w] and the distribution function
are sums over a grid of angles; inverting the last draws w without rejection, differentiable in κ.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from keras import ops

from genloom_vae.posteriors.posterior import Posterior, Q

__all__ = ["SpherePosterior", "VonMisesFisher", "log_area"]

_CELLS = 512  # of the grid of angles: exact to 1e-4 nats up to the largest κ
_LARGEST = 1000.0  # κ; its angle deviates by .03, five cells of the grid
_TINY = 1e-7
_ANGLES = (np.arange(_CELLS) + 0.5) * (math.pi / _CELLS)  # the middle of each cell


def log_area(size: int) -> float:
    """Return the log of the area of the unit sphere in `size` dimensions."""
    return math.log(2.0) + 0.5 * size * math.log(math.pi) - math.lgamma(0.5 * size)


@dataclasses.dataclass(frozen=True)
class VonMisesFisher(Q):
    """vMF(μ, κ) of a batch: unit vectors (n, d), d ≥ 3, and concentrations (n, 1)."""

    direction: Any
    concentration: Any

    @property
    def size(self) -> int:
        """The dimension d of the space that the sphere lies in."""
        return int(self.direction.shape[-1])

    def code(self) -> Any:
        """Return μ."""
        return self.direction

    def repeated(self, k: int) -> VonMisesFisher:
        """Return q of each sample k times, (k n, d)."""
        return VonMisesFisher(ops.tile(self.direction, (k, 1)), ops.tile(self.concentration, (k, 1)))

    def stopped(self) -> VonMisesFisher:
        """Return q with parameters that no gradient reaches."""
        return VonMisesFisher(ops.stop_gradient(self.direction), ops.stop_gradient(self.concentration))

    def sample(self, noise: Any) -> tuple[Any, Any]:
        """Return z (n, d) and log q(z|x): the first noise decides the angle, the others the direction around μ."""
        w = self._cosine(0.5 * (1.0 + ops.erf(noise[:, :1] / math.sqrt(2.0))))
        around = _unit(noise[:, 1:])
        upright = ops.concatenate([w, ops.sqrt(ops.maximum(1.0 - ops.square(w), _TINY)) * around], axis=-1)
        z = self._turned(upright)
        return z, self.log_prob(z)

    def log_prob(self, z: Any) -> Any:
        """Return κ μᵀz − log Z(κ) − log of the area of the sphere around μ: (n, d) → (n,) nats."""
        w = ops.sum(self.direction * z, axis=-1)
        return self.concentration[:, 0] * w - self._log_normaliser() - log_area(self.size - 1)

    def kl_to_uniform(self) -> Any:
        """Return κ E[w] − log Z(κ) + log Z(0), (n,) nats (Davidson et al. 2018, eq. 16)."""
        mean = ops.sum(ops.softmax(self._heights(), axis=-1) * _cosines(), axis=-1)
        at_zero = log_area(self.size) - log_area(self.size - 1)
        return self.concentration[:, 0] * mean - self._log_normaliser() + at_zero

    def _heights(self) -> Any:
        """Return κ cos θ + (d − 2) log sin θ at the middle of each cell, (n, cells)."""
        fixed = (self.size - 2) * np.log(np.sin(_ANGLES))
        return self.concentration * _cosines() + ops.convert_to_tensor(fixed[None].astype("float32"))

    def _log_normaliser(self) -> Any:
        return ops.logsumexp(self._heights(), axis=-1) + math.log(math.pi / _CELLS)

    def _cosine(self, u: Any) -> Any:
        """Return w = cos θ (n, 1) where the distribution function of θ is u (n, 1), straight within a cell."""
        share = ops.softmax(self._heights(), axis=-1)
        upper = ops.cumsum(share, axis=-1)
        cell = ops.minimum(ops.sum(ops.cast(upper < u, "int32"), axis=-1, keepdims=True), _CELLS - 1)
        within = ops.take_along_axis(share, cell, axis=-1)
        below = ops.take_along_axis(upper, cell, axis=-1) - within
        part = ops.clip((u - below) / ops.maximum(within, 1e-12), 0.0, 1.0)
        return ops.cos((ops.cast(cell, "float32") + part) * (math.pi / _CELLS))

    def _turned(self, upright: Any) -> Any:
        """Reflect points around the first axis to points around μ (Householder)."""
        first = ops.cast(ops.arange(self.size) == 0, "float32")[None]
        across = _unit(first - self.direction)
        return upright - 2.0 * across * ops.sum(across * upright, axis=-1, keepdims=True)


def _cosines() -> Any:
    """Return cos θ at the middle of each cell, (1, cells)."""
    return ops.convert_to_tensor(np.cos(_ANGLES)[None].astype("float32"))


def _unit(x: Any) -> Any:
    return x / ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + _TINY**2)


class SpherePosterior(Posterior):
    """von Mises–Fisher: the encoder gives a direction and a concentration."""

    @staticmethod
    def width(latent: int) -> int:
        """Return d + 1."""
        return latent + 1

    def of(self, output: Any) -> VonMisesFisher:
        """Return q(z|x), κ from 1 up to 1,000."""
        concentration = 1.0 + ops.softplus(output[:, self.latent :])
        return VonMisesFisher(_unit(output[:, : self.latent]), ops.minimum(concentration, _LARGEST))
