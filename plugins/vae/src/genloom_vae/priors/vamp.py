"""The variational mixture of posteriors (Tomczak and Welling 2018): a prior made of what the encoder says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from genloom.model.networks import one_hot
from genloom_vae.posteriors import DiagonalGaussian
from genloom_vae.priors.mixture import draw_of_mixture, mixture_log_prob
from genloom_vae.priors.prior import Prior

__all__ = ["VampPrior"]


class VampPrior(Prior):
    """p(z|y) = 1/K Σ_k q(z|u_k, y), the pseudo-inputs u learned with the rest (eq. 9).

    Args:
        size: d, size of z.
        components: K, pseudo-inputs per label.
        classes: labels, 0 without.
        shape: shape of one sample.
        infer: normalised samples (m, *shape), one-hot labels or None → q.
    """

    def __init__(
        self,
        size: int,
        components: int,
        classes: int,
        shape: Sequence[int],
        infer: Callable[[Any, Any], DiagonalGaussian],
    ) -> None:
        super().__init__(size, classes)
        self.components, self._infer = components, infer
        self.inputs_initializer = keras.initializers.RandomNormal(stddev=0.5)
        self.inputs = self.add_weight(
            shape=(max(classes, 1) * components, *shape), initializer=self.inputs_initializer, name="inputs"
        )

    def _mixture(self, labels: Any) -> tuple[Any, Any, Any]:
        """Return means, log-variances and logits, each sample's own where there are labels: (n, K, d) or (K, d)."""
        classes = ops.arange(max(self.classes, 1) * self.components) // self.components
        q = self._infer(ops.tanh(self.inputs), one_hot(classes, self.classes) if self.classes else None)
        parts = [ops.reshape(part, (-1, self.components, self.size)) for part in (q.mean, q.log_variance)]
        mean, log_variance = (ops.tensordot(labels, part, axes=1) if self.classes else part for part in parts)
        return mean, log_variance, ops.zeros((1, self.components))

    def log_prob(self, z: Any, labels: Any) -> Any:
        """Return log p(z|y) per sample: (n, d) → (n,) nats."""
        return mixture_log_prob(z, *self._mixture(labels))

    def sample(self, keys: Any, labels: Any) -> Any:
        """Draw z (n, d) for keys (n, 2)."""
        return draw_of_mixture(keys, *self._mixture(labels))
