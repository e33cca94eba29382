"""q(z|x) in one point: a deterministic encoder (Ghosh et al. 2020; Tolstikhin et al. 2018, §3)."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from genloom_vae.posteriors.posterior import Posterior, Q

__all__ = ["PointPosterior"]


@dataclasses.dataclass(frozen=True)
class Point(Q):
    """All of q at one code (n, d)."""

    z: Any

    def code(self) -> Any:
        """Return the code."""
        return self.z

    def sample(self, noise: Any) -> tuple[Any, Any]:
        """Return the code, and 0 for the log-density that a point has not."""
        return self.z, ops.zeros_like(self.z[:, 0])

    def repeated(self, k: int) -> Point:
        """Return the code of each sample k times, (k n, d)."""
        return Point(ops.tile(self.z, (k, 1)))

    def kl_to_standard_normal(self) -> Any:
        """Return ½ z² (n, d): the KL of a Gaussian around z without what does not depend on z (Ghosh et al., eq. 7)."""
        return 0.5 * ops.square(self.z)


class PointPosterior(Posterior):
    """A deterministic encoder: it gives the code itself."""

    @staticmethod
    def width(latent: int) -> int:
        """Return d."""
        return latent

    def of(self, output: Any) -> Point:
        """Return the point."""
        return Point(output)
