"""Fréchet distance between two sets of features: the distance of the two Gaussians that share their moments."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.metrics._arrays import feature_pair

__all__ = ["frechet_distance", "frechet_from_moments"]


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Return ‖μx − μy‖² + tr(Σx + Σy − 2(Σx^½ Σy Σx^½)^½) (Dowson and Landau 1982; Heusel et al. 2017, eq. 6).

    The estimate is biased upwards by the number of samples: compare values at equal n only, beside their floor.

    Args:
        x: features (n, d), n ≥ 2.
        y: features (m, d), m ≥ 2.

    Raises:
        DataError: the arrays are not two sets of finite vectors of one size, or hold fewer than two rows.
    """
    x, y = feature_pair(x, y, minimum=2)
    if min(len(x), len(y)) < x.shape[1]:
        return _from_centred_features(x, y)
    return frechet_from_moments(x.mean(0), _covariance(x), y.mean(0), _covariance(y))


def frechet_from_moments(mean_x: ArrayLike, cov_x: ArrayLike, mean_y: ArrayLike, cov_y: ArrayLike) -> float:
    """Return the Fréchet distance of two Gaussians from their means (d,) and covariances (d, d), in float64."""
    mean_x, cov_x, mean_y, cov_y = (np.asarray(a, np.float64) for a in (mean_x, cov_x, mean_y, cov_y))
    factor = _factor(cov_x)
    # Symmetric, so its eigenvalues are real; `sqrtm` of the unsymmetric Σx Σy loses digits and turns complex.
    product = np.linalg.eigvalsh(factor.T @ cov_y @ factor)
    cross = np.sqrt(np.clip(product, 0.0, None)).sum()
    return _total(mean_x - mean_y, float(np.trace(cov_x) + np.trace(cov_y)), float(cross))


def _factor(cov: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return L (d, d) with L Lᵀ = Σ; Lᵀ Σy L has the eigenvalues of Σ^½ Σy Σ^½ whichever L it is."""
    try:
        return np.asarray(np.linalg.cholesky(cov))  # a tenth of the work of eigenvectors
    except np.linalg.LinAlgError:  # some direction has no variance
        values, vectors = np.linalg.eigh(cov)
        return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


def _from_centred_features(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Use Σx = XᵀX and Σy = YᵀY: tr(Σx^½ Σy Σx^½)^½ is the sum of the singular values of X Yᵀ."""
    centred_x = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    centred_y = (y - y.mean(0)) / np.sqrt(len(y) - 1)
    cross = np.linalg.svd(_triangle(centred_x) @ _triangle(centred_y).T, compute_uv=False).sum()
    variances = float((centred_x**2).sum() + (centred_y**2).sum())
    return _total(x.mean(0) - y.mean(0), variances, float(cross))


def _triangle(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shrink (n, d) to at most d rows with the same XᵀX, so that the cost does not grow with n²."""
    if len(centred) <= centred.shape[1]:
        return centred
    return np.asarray(np.linalg.qr(centred, mode="r"))


def _covariance(x: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = x - x.mean(0)
    return np.asarray(centred.T @ centred) / (len(x) - 1)  # half the work of a product: NumPy sees that it is symmetric


def _total(shift: NDArray[np.float64], variances: float, cross: float) -> float:
    # Rounding alone can take identical sets below zero.
    return max(float(shift @ shift) + variances - 2.0 * cross, 0.0)
