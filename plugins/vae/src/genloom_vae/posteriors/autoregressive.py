"""q(z|x) as a Gaussian bent by inverse autoregressive steps (Kingma et al. 2016)."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from genloom.objectives import standard_normal_log_prob
from genloom_vae.flows import AutoregressiveStep
from genloom_vae.posteriors.gaussian import DiagonalGaussian, GaussianPosterior
from genloom_vae.posteriors.posterior import Posterior, Q

__all__ = ["AutoregressivePosterior"]

_STEPS, _HIDDEN = 2, 64


@dataclasses.dataclass(frozen=True)
class Bent(Q):
    """A Gaussian of a batch, the context (n, d) of the steps that bend it, and these steps."""

    base: DiagonalGaussian
    context: Any
    steps: tuple[AutoregressiveStep, ...]

    def code(self) -> Any:
        """Return where the Gaussian's mean goes."""
        return self.sample(ops.zeros_like(self.base.mean))[0]

    def sample(self, noise: Any) -> tuple[Any, Any]:
        """Return z and log q(z|x) = log N(ε; 0, I) − Σ log σ, over the Gaussian and every step (eq. 12)."""
        z = self.base.mean + ops.exp(0.5 * self.base.log_variance) * noise
        log_q = standard_normal_log_prob(noise) - 0.5 * ops.sum(self.base.log_variance, axis=-1)
        for step in self.steps:
            z, volume = step(ops.flip(z, axis=-1), self.context)
            log_q = log_q - volume
        return z, log_q

    def repeated(self, k: int) -> Bent:
        """Return q of each sample k times, (k n, d)."""
        return Bent(self.base.repeated(k), ops.tile(self.context, (k, 1)), self.steps)


class AutoregressivePosterior(Posterior):
    """The encoder gives μ, log σ² and a context of d numbers, which all steps see."""

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        self.base = GaussianPosterior(latent)
        self.steps = [AutoregressiveStep(latent, latent, _HIDDEN) for _ in range(_STEPS)]

    @staticmethod
    def width(latent: int) -> int:
        """Return 3 d."""
        return 3 * latent

    def of(self, output: Any) -> Bent:
        """Return q(z|x)."""
        cut = 2 * self.latent
        return Bent(self.base.of(output[:, :cut]), ops.tanh(output[:, cut:]), tuple(self.steps))
