"""Precision, recall, density and coverage: fidelity and variety told apart by balls around nearest neighbours."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.errors import DataError
from genloom.metrics._arrays import feature_pair, features, slices

__all__ = ["Neighbourhoods", "nearest_neighbours", "neighbourhoods", "radii"]

_MOST_DISTANCES = 2**22  # held at once: 32 MiB


@dataclasses.dataclass(frozen=True)
class Neighbourhoods:
    """Four shares read from the k-nearest-neighbour balls of two sets.

    Attributes:
        precision: share of generated samples inside some real sample's ball (Kynkäänniemi et al. 2019, eq. 1-2).
        recall: share of real samples inside some generated sample's ball (same source).
        density: mean number of real balls a generated sample lies in, divided by k; about 1 for a perfect sampler,
            and, unlike precision, hardly moved by one real outlier (Naeem et al. 2020, eq. 4).
        coverage: share of real samples whose ball holds a generated sample (Naeem et al. 2020, eq. 5).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbourhoods(generated: ArrayLike, real: ArrayLike, k: int = 5) -> Neighbourhoods:
    """Measure generated features (m, d) against held-out real features (n, d).

    Balls are closed (`<=`): with open ones two identical sets with duplicates score 0.

    Args:
        generated: features (m, d), m > k.
        real: features (n, d), n > k.
        k: neighbours that set a ball's radius; 5 as Naeem et al. recommend.

    Raises:
        DataError: the arrays are not two sets of finite vectors of one size, or hold k rows or fewer.
    """
    from scipy.spatial.distance import cdist

    generated, real = feature_pair(generated, real, minimum=k + 1)
    real_radii, generated_radii = radii(real, k), radii(generated, k)
    inside = np.zeros(len(generated), np.int64)  # real balls that hold each generated sample
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for part in slices(len(real), _MOST_DISTANCES // len(generated)):
        distance = cdist(real[part], generated)  # (rows, m)
        held = distance <= real_radii[part, None]
        inside += held.sum(0)
        covered[part] = held.any(1)
        recalled[part] = (distance <= generated_radii).any(1)
    return Neighbourhoods(
        precision=float((inside > 0).mean()),
        recall=float(recalled.mean()),
        density=float(inside.mean() / k),
        coverage=float(covered.mean()),
    )


def radii(x: ArrayLike, k: int = 5) -> NDArray[np.float64]:
    """Return each row's distance to its k-th nearest other row: (n, d) → (n,)."""
    from scipy.spatial.distance import cdist

    x = features(x, minimum=k + 1)
    found = np.empty(len(x))
    for part in slices(len(x), _MOST_DISTANCES // len(x)):
        # The row itself is at distance 0, so index k is the k-th other row.
        found[part] = np.partition(cdist(x[part], x), k, axis=1)[:, k]
    return found


def nearest_neighbours(x: ArrayLike, reference: ArrayLike, k: int = 1) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the k nearest rows of `reference` (m, d) to each row of `x` (n, d), nearest first.

    Returns:
        indices (n, k) into `reference`, and Euclidean distances (n, k).

    Raises:
        DataError: the arrays are not two sets of finite vectors of one size, or `reference` has fewer than k rows.
    """
    from sklearn.neighbors import NearestNeighbors

    x, reference = feature_pair(x, reference)
    if len(reference) < k:
        raise DataError(f"{k} neighbours were asked for among {len(reference)} samples.")
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference)
    indices = search.kneighbors(x, return_distance=False)
    # The search expands ‖a − b‖², which rounds the distance of a copy away from 0: measure the few found again.
    distances = np.stack([np.linalg.norm(x - reference[indices[:, j]], axis=1) for j in range(k)], axis=1)
    return indices, distances
