"""Maximum mean discrepancy: the distance of two distributions as a kernel sees them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.data.order import drawn_rows
from genloom.metrics._arrays import feature_pair, slices

__all__ = ["mmd_rbf", "unbiased_mmd"]

Kernel = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

# Rows of a kernel matrix held at once: 512 × 10,000 float64 are 41 MB.
_ROWS = 512


def mmd_rbf(x: ArrayLike, y: ArrayLike, sigma: float | None = None) -> float:
    """Return the unbiased MMD² with the kernel exp(−‖a − b‖² / (2σ²)).

    Args:
        x: features (n, d).
        y: features (m, d).
        sigma: the kernel's width; None takes the median distance within `y`, the reference set.

    Raises:
        DataError: the arrays are not two sets of finite vectors of one size, or hold fewer than two rows.
    """
    from scipy.spatial.distance import cdist

    x, y = feature_pair(x, y, minimum=2)
    width = _median_distance(y) if sigma is None else sigma
    return unbiased_mmd(x, y, lambda a, b: np.exp(cdist(a, b, "sqeuclidean") / (-2.0 * width**2)))


def unbiased_mmd(x: NDArray[np.float64], y: NDArray[np.float64], kernel: Kernel) -> float:
    """Return the unbiased MMD² of x (n, d) and y (m, d) (Gretton et al. 2012, eq. 3); it may be negative.

    Args:
        x: features (n, d).
        y: features (m, d).
        kernel: maps (a, d) and (b, d) to the kernel matrix (a, b).
    """
    return _within(x, kernel) + _within(y, kernel) - 2.0 * _sum(x, y, kernel) / (len(x) * len(y))


def _within(x: NDArray[np.float64], kernel: Kernel) -> float:
    """Mean over the pairs of two different rows: leaving the diagonal out is what makes the estimate unbiased."""
    diagonal = sum(float(np.trace(kernel(x[part], x[part]))) for part in slices(len(x), _ROWS))
    return (_sum(x, x, kernel) - diagonal) / (len(x) * (len(x) - 1))


def _sum(x: NDArray[np.float64], y: NDArray[np.float64], kernel: Kernel) -> float:
    return sum(float(kernel(x[part], y).sum()) for part in slices(len(x), _ROWS))


def _median_distance(y: NDArray[np.float64]) -> float:
    from scipy.spatial.distance import pdist

    # A thousand rows give half a million distances: enough for a median, and bounded.
    return float(np.median(pdist(y[drawn_rows(len(y), 1000)]))) or 1.0
