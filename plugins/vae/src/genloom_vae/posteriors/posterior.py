"""The interface of posteriors: `Posterior` is a form, `Q` one batch's q(z|x) of that form."""

from __future__ import annotations

import abc
from typing import Any

import keras

__all__ = ["Posterior", "Q"]


class Q(abc.ABC):
    """q(z|x) of a batch of n samples, z of size d."""

    @abc.abstractmethod
    def code(self) -> Any:
        """Return the code (n, d) that stands for each sample where one is needed, as in `encode`."""

    @abc.abstractmethod
    def sample(self, noise: Any) -> tuple[Any, Any]:
        """Return z (n, d), differentiable in q, and log q(z|x) (n,) in nats, for standard normal noise (n, d)."""

    @abc.abstractmethod
    def repeated(self, k: int) -> Q:
        """Return q of each sample k times, (k n, d), the whole batch after itself."""

    def log_prob(self, z: Any) -> Any:
        """Return log q(z|x) (n,) of any z (n, d), where the form has a formula for it."""
        raise NotImplementedError

    def stopped(self) -> Q:
        """Return q with parameters that no gradient reaches, where `log_prob` has a formula."""
        raise NotImplementedError

    def log_probs_of_all(self, z: Any) -> Any:
        """Return log q(z_ij|x_m) of every code under every sample, (n, m, d), where the form has a formula."""
        raise NotImplementedError

    def kl_to_standard_normal(self) -> Any:
        """Return KL(q ‖ N(0, I)) by dimension, (n, d) in nats, None where it has no closed form."""
        return None

    def kl_to_uniform(self) -> Any:
        """Return KL(q ‖ the uniform distribution on the sphere) (n,) in nats, None where q is not on the sphere."""
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
