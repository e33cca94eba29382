"""A learned mixture of Gaussians, one per label where there are labels."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from genloom import random
from genloom.model.networks import one_hot
from genloom_vae.priors.prior import Prior

__all__ = ["MixturePrior", "draw_of_mixture", "mixture_log_prob"]

_LOG_2PI = math.log(2.0 * math.pi)


class MixturePrior(Prior):
    """p(z|y) = Σ_k π_yk N(z; μ_yk, diag σ²_yk), learned with the rest by the same bound.

    The optimal prior is the aggregate posterior, which a mixture can follow and N(0, I) cannot (Tomczak and Welling
    2018, §2; its components are free parameters here, their "MoG prior").

    Args:
        size: d, size of z.
        components: k, Gaussians per label.
        classes: labels, 0 without.
    """

    def __init__(self, size: int, components: int, classes: int = 0) -> None:
        super().__init__(size, classes)
        self.means_initializer = keras.initializers.RandomNormal(stddev=1.0)
        shape = (max(classes, 1), components, size)
        self.means = self.add_weight(shape=shape, initializer=self.means_initializer, name="means")
        self.log_variances = self.add_weight(shape=shape, initializer="zeros", name="log_variances")
        self.logits = self.add_weight(shape=shape[:2], initializer="zeros", name="logits")

    def _of(self, weights: Any, labels: Any) -> Any:
        """Pick each sample's own parameters by its one-hot label: (n, k) or (n, k, d)."""
        if not self.classes:
            return ops.convert_to_tensor(weights)
        return ops.tensordot(labels, weights, axes=1)

    def log_prob(self, z: Any, labels: Any) -> Any:
        """Return log p(z|y) per sample: (n, d) → (n,) nats."""
        return mixture_log_prob(z, *self._mixture(labels))

    def sample(self, keys: Any, labels: Any) -> Any:
        """Draw z (n, d) for keys (n, 2)."""
        return draw_of_mixture(keys, *self._mixture(labels))

    def _mixture(self, labels: Any) -> tuple[Any, Any, Any]:
        """Return means, log-variances (n, k, d) and logits (n, k), with one row for all where there are no labels."""
        return self._of(self.means, labels), self._of(self.log_variances, labels), self._of(self.logits, labels)


def mixture_log_prob(z: Any, means: Any, log_variances: Any, logits: Any) -> Any:
    """Return log Σ_k π_k N(z; μ_k, diag σ²_k) per sample: (n, d) → (n,) nats; k Gaussians (n or 1, k, d)."""
    shift = ops.square(z[:, None, :] - means) * ops.exp(-log_variances)
    each = -0.5 * ops.sum(shift + log_variances + _LOG_2PI, axis=-1)  # (n, k)
    return ops.logsumexp(each + ops.log_softmax(logits, axis=-1), axis=-1)


def draw_of_mixture(keys: Any, means: Any, log_variances: Any, logits: Any) -> Any:
    """Draw z (n, d) for keys (n, 2) from k Gaussians (n or 1, k, d) of these logits (n or 1, k)."""
    components, size = int(means.shape[-2]), int(means.shape[-1])
    chosen = random.categorical(random.fold(keys, 1), logits)
    pick = one_hot(chosen, components)[:, :, None]  # (n, k, 1)
    mean = ops.sum(pick * means, axis=1)
    scale = ops.exp(0.5 * ops.sum(pick * log_variances, axis=1))
    return mean + scale * random.normal(keys, (size,))
