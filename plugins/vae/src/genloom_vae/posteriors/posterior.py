"""The interface of posteriors: `Posterior` is a form, `Q` one batch's q(z|x) of that form."""

from __future__ import annotations

import abc
from typing import Any

import keras

__all__ = ["Posterior", "Q"]


class Q(abc.ABC):
    """q(z|x) of a batch; (n, d) are its samples and the size of z.

    Attributes:
        mean: the code (n, d) that stands for a sample where one is needed, as in `encode`.
    """

    mean: Any

    @abc.abstractmethod
    def sample(self, noise: Any) -> tuple[Any, Any]:
        """Return z (n, d), differentiable in q, and log q(z|x) (n,) in nats, for standard normal noise (n, d)."""

    @abc.abstractmethod
    def repeated(self, k: int) -> Q:
        """Return q of each sample k times, (k n, d), the whole batch after itself."""

    def log_prob(self, z: Any) -> Any:
        """Return log q(z|x) (n,) of any z (n, d), None where the form has no such formula."""
        return None

    def stopped(self) -> Q | None:
        """Return q with parameters that no gradient reaches, None where `log_prob` has no formula."""
        return None

    def kl_to_standard_normal(self) -> Any:
        """Return KL(q ‖ N(0, I)) by dimension, (n, d) in nats, None where it has no closed form."""
        return None


class Posterior(keras.layers.Layer):
    """A form of q(z|x).

    Args:
        latent: d, size of z.
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.built = True

    @staticmethod
    def width(latent: int) -> int:
        """Return how many numbers the encoder gives for a z of this size."""
        raise NotImplementedError

    def of(self, output: Any) -> Q:
        """Return q(z|x) for the encoder's output (n, width)."""
        raise NotImplementedError
