"""The interface of priors."""

from __future__ import annotations

from typing import Any

import keras

from genloom_vae.posteriors import Q

__all__ = ["Prior"]


class Prior(keras.layers.Layer):
    """p(z), or p(z|y) with labels.

    Args:
        size: d, size of z.
        classes: labels that it depends on, 0 without.
    """

    def __init__(self, size: int, classes: int = 0) -> None:
        super().__init__()
        self.size, self.classes = size, classes
        self.built = True

    def log_prob(self, z: Any, labels: Any) -> Any:
        """Return log p(z|y) per sample in nats: (n, d), one-hot labels (n, classes) or None → (n,)."""
        raise NotImplementedError

    def sample(self, keys: Any, labels: Any) -> Any:
        """Draw z (n, d) for keys (n, 2)."""
        raise NotImplementedError

    def kl(self, q: Q, z: Any, log_q: Any, labels: Any) -> Any:
        """Return KL(q(z|x) ‖ p(z|y)) in nats by parts (n, parts), whose sum it is.

        Without a closed form it is one part: log q(z|x) − log p(z|y) at the drawn z, an unbiased draw of the KL.
        """
        return (log_q - self.log_prob(z, labels))[:, None]
