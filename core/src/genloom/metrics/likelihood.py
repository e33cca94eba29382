"""Units of likelihood: nats per sample made comparable across sizes of samples and tokens."""

from __future__ import annotations

import math

from genloom.errors import ConfigError

__all__ = ["bits_per_dimension", "perplexity"]


def bits_per_dimension(nats_per_sample: float, size: int) -> float:
    """Convert a negative log-likelihood in nats per sample to bits per value.

    Comparable across sizes of images, but only for likelihoods of the same discrete levels: a density of scaled
    values needs log(levels) nats per value added first (Theis et al. 2016, section 3.1).

    Args:
        nats_per_sample: −log p(x), in nats.
        size: values in one sample.

    Raises:
        ConfigError: a size below 1.
    """
    if size < 1:
        raise ConfigError(f"A sample has at least one value, got size {size}.")
    return nats_per_sample / (size * math.log(2.0))


def perplexity(nats_per_token: float) -> float:
    """Return exp(loss): the vocabulary of an even guess with that loss. Incomparable across tokenizers."""
    return math.exp(nats_per_token)
