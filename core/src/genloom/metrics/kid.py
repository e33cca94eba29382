"""Kernel distance over features: an MMD whose estimate is unbiased, so it needs no equal n."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.metrics._arrays import feature_pair
from genloom.metrics.mmd import unbiased_mmd

__all__ = ["kernel_distance"]


def kernel_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Return the unbiased MMD² with the cubic kernel (a·b/d + 1)³ (Bińkowski et al. 2018, section 3).

    It is around 0, and may be negative, when both sets come from one distribution.

    Args:
        x: features (n, d), n ≥ 2.
        y: features (m, d), m ≥ 2.

    Raises:
        DataError: the arrays are not two sets of finite vectors of one size, or hold fewer than two rows.
    """
    x, y = feature_pair(x, y, minimum=2)
    return unbiased_mmd(x, y, _cubic)


def _cubic(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    inner = a @ b.T / a.shape[1] + 1.0
    return inner * inner * inner  # `** 3` calls pow, many times slower
