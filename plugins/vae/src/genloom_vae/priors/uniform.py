"""p(z) uniform on the unit sphere (Davidson et al. 2018)."""

from __future__ import annotations

from typing import Any

from keras import ops

from genloom import random
from genloom_vae.posteriors import Q
from genloom_vae.posteriors.sphere import log_area
from genloom_vae.priors.prior import Prior

__all__ = ["UniformPrior"]


class UniformPrior(Prior):
    """The uniform distribution on the unit sphere in d dimensions."""

    def log_prob(self, z: Any, labels: Any) -> Any:
        """Return minus the log of the sphere's area, per sample (n,)."""
        return ops.zeros_like(z[:, 0]) - log_area(self.size)

    def sample(self, keys: Any, labels: Any) -> Any:
        """Draw unit vectors (n, d) for keys (n, 2)."""
        z = random.normal(keys, (self.size,))
        return z / ops.sqrt(ops.sum(ops.square(z), axis=-1, keepdims=True))

    def kl(self, q: Q, z: Any, log_q: Any, labels: Any) -> Any:
        """Return the KL (n, 1), in closed form for q on the sphere."""
        exact = q.kl_to_uniform()
        return super().kl(q, z, log_q, labels) if exact is None else exact[:, None]
