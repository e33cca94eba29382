"""A mixture of equal round Gaussians: the exact density of the toys, and the centres that mode counting needs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IsotropicMixture"]


@dataclasses.dataclass(frozen=True, eq=False)
class IsotropicMixture:
    """Equal weights, one standard deviation in every direction.

    Attributes:
        centres: (modes, d).
        sigma: standard deviation.
    """

    centres: NDArray[np.float64]
    sigma: float

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return log p(x) in nats, (n, d) -> (n,), in float64."""
        points = np.asarray(x, dtype=np.float64)
        squares = ((points[:, None, :] - self.centres) ** 2).sum(axis=-1)  # (n, modes)
        exponents = -squares / (2 * self.sigma**2)
        top = exponents.max(axis=1, keepdims=True)
        modes, d = self.centres.shape
        total = np.log(np.exp(exponents - top).sum(axis=1)) + top[:, 0]
        return np.asarray(total - np.log(modes) - d / 2 * np.log(2 * np.pi * self.sigma**2))

    def sample(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """Draw (n, d) points."""
        modes, d = self.centres.shape
        return self.centres[rng.integers(0, modes, size=n)] + self.sigma * rng.normal(size=(n, d))
