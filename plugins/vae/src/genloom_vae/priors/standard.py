"""p(z) = N(0, I)."""

from __future__ import annotations

from typing import Any

from genloom import random
from genloom.objectives import standard_normal_log_prob
from genloom_vae.posteriors import Q
from genloom_vae.priors.prior import Prior

__all__ = ["StandardPrior"]


class StandardPrior(Prior):
    """p(z) = N(0, I), whose KL term has a closed form where q's form has one."""

    def log_prob(self, z: Any, labels: Any) -> Any:
        """Return log p(z) per sample: (n, d) → (n,) nats."""
        return standard_normal_log_prob(z)

    def sample(self, keys: Any, labels: Any) -> Any:
        """Draw z (n, d) for keys (n, 2)."""
        return random.normal(keys, (self.size,))

    def kl(self, q: Q, z: Any, log_q: Any, labels: Any) -> Any:
        """Return the KL by dimension (n, d) where q has that in closed form, else one draw of it (n, 1)."""
        exact = q.kl_to_standard_normal()
        return super().kl(q, z, log_q, labels) if exact is None else exact
