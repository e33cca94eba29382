"""Likelihoods of discrete data from logits: log-probabilities in nats, summed over all axes but the first."""

from __future__ import annotations

from typing import Any

from keras import ops

from genloom.model.networks import one_hot
from genloom.objectives.reduction import per_sample

__all__ = ["bernoulli_log_prob", "categorical_log_prob"]


def bernoulli_log_prob(x: Any, logits: Any) -> Any:
    """Return Σ x log σ(l) + (1 − x) log(1 − σ(l)) per sample: (n, …) → (n,) nats.

    A likelihood for x in {0, 1} only; grey values in between give the cross-entropy, not a probability.
    """
    return per_sample(x * logits - ops.softplus(logits))


def categorical_log_prob(x: Any, logits: Any) -> Any:
    """Return Σ log softmax(l)[x] per sample: integers (n, …) and logits (n, …, levels) → (n,) nats."""
    levels = int(logits.shape[-1])
    return per_sample(ops.sum(ops.log_softmax(logits, axis=-1) * one_hot(x, levels), axis=-1))
