"""Total correlation of the codes, KL(q(z) ‖ Π q(z_j)): zero where the dimensions of the aggregate are independent."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

__all__ = ["permuted", "total_correlation"]


def total_correlation(log_probs: Any) -> Any:
    """Return log q(z_i) − Σ_j log q(z_ij) per sample (n,), q the mixture of the batch (Chen et al. 2018, §3.1).

    Args:
        log_probs: log q(z_ij | x_m) of every code under every sample of the batch, (n, m, d).

    Their minibatch-weighted estimate divides by the size of the data as well, which adds (d − 1) log N to every value
    and changes no gradient; this one is near the correlation itself where the batch is large.
    """
    batch = math.log(int(log_probs.shape[1]))
    joint = ops.logsumexp(ops.sum(log_probs, axis=-1), axis=1) - batch
    by_dimension = ops.logsumexp(log_probs, axis=1) - batch
    return joint - ops.sum(by_dimension, axis=-1)


def permuted(z: Any, uniform: Any) -> Any:
    """Return draws of Π q(z_j): each dimension's values (n, d) in an order of its own (Kim and Mnih 2018, algorithm 1).

    Args:
        z: codes (n, d).
        uniform: uniform draws of the same shape, which decide the orders.
    """
    return ops.take_along_axis(z, ops.argsort(uniform, axis=0), axis=0)
