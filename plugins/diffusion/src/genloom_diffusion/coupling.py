"""Which noise goes with which data: an optimal transport within the batch makes the paths of a flow straighter.

Minibatch optimal transport (Tong et al. 2024, alg. 3) in its entropic form: noise is drawn for each sample from the
plan that Sinkhorn's iteration finds (Cuturi 2013, alg. 1).
"""

from __future__ import annotations

from typing import Any

from keras import ops

__all__ = ["plan", "transported"]

_ITERATIONS = 30  # sums over the columns are then within some percent of 1
_BLUR = 0.02  # of the mean cost: less comes nearer to the exact assignment, and needs more iterations
_LEAST = 1e-30


def plan(cost: Any, allowed: Any) -> Any:
    """Return the entropic plan (n, n) as each row's shares, which sum to 1; the columns' nearly do.

    Args:
        cost: of giving column j to row i (n, n).
        allowed: where the plan may be above 0, as booleans (n, n).
    """
    cost = ops.where(allowed, cost, ops.max(cost))
    cost = cost - ops.min(cost, axis=1, keepdims=True)
    cost = cost - ops.min(cost, axis=0, keepdims=True)
    kernel = ops.exp(-cost / (_BLUR * ops.mean(cost) + _LEAST)) * ops.cast(allowed, cost.dtype)
    columns = ops.ones((cost.shape[0], 1), dtype=cost.dtype)
    for _ in range(_ITERATIONS):
        rows = 1.0 / (ops.matmul(kernel, columns) + _LEAST)
        columns = 1.0 / (ops.matmul(ops.transpose(kernel), rows) + _LEAST)
    shares = kernel * ops.transpose(columns)
    return shares / (ops.sum(shares, axis=1, keepdims=True) + _LEAST)


def transported(x: Any, noise: Any, uniform: Any, label: Any = None) -> Any:
    """Return the noise of a batch (n, …), dealt out anew so that each lies near its data.

    Noise changes places within a class only: else the noise would tell the class, which sampling does not know
    (Cheng and Schwing 2025).

    Args:
        x: data (n, …).
        noise: as many normals (n, …), independent of the data.
        uniform: numbers (n,) in [0, 1) that choose from the plan.
        label: classes (n,), or None.
    """
    n = x.shape[0]
    x, flat = ops.reshape(x, (n, -1)), ops.reshape(noise, (n, -1))
    cost = -2.0 * ops.matmul(x, ops.transpose(flat))  # |x - ε|² but for what the assignment cannot change
    allowed = ops.ones((n, n), dtype="bool") if label is None else ops.equal(label[:, None], label[None])
    shares = plan(cost, allowed)
    chosen = ops.sum(ops.cast(ops.cumsum(shares, axis=1) < uniform[:, None], "int32"), axis=1)
    return ops.take(noise, ops.minimum(chosen, n - 1), axis=0)
