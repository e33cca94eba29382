"""p(z) as N(0, I) seen through affine couplings (Dinh et al. 2017): both its density and its draws are one pass."""

from __future__ import annotations

from typing import Any

from genloom import random
from genloom.objectives import standard_normal_log_prob
from genloom_vae.flows import Coupling
from genloom_vae.priors.prior import Prior

__all__ = ["FlowPrior"]

_COUPLINGS, _HIDDEN = 6, 64


class FlowPrior(Prior):
    """p(z|y) = N(f(z); 0, I) |df/dz|, f a chain of couplings that begins as the identity.

    Args:
        size: d, size of z, 2 at least.
        classes: labels, 0 without.
    """

    def __init__(self, size: int, classes: int = 0) -> None:
        super().__init__(size, classes)
        self.couplings = [Coupling(size, classes, _HIDDEN, turned=bool(i % 2)) for i in range(_COUPLINGS)]

    def log_prob(self, z: Any, labels: Any) -> Any:
        """Return log p(z|y) per sample: (n, d) → (n,) nats."""
        labels = labels if self.classes else None
        volume: Any = 0.0
        for coupling in self.couplings:
            z, part = coupling.forward(z, labels)
            volume = volume + part
        return standard_normal_log_prob(z) + volume

    def sample(self, keys: Any, labels: Any) -> Any:
        """Draw z (n, d) for keys (n, 2)."""
        z, labels = random.normal(keys, (self.size,)), labels if self.classes else None
        for coupling in reversed(self.couplings):
            z = coupling.backward(z, labels)
        return z
