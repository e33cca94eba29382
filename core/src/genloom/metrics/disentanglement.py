"""Whether each dimension of a code stands for one factor of the data: scores over codes and known factors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.errors import DataError
from genloom.metrics._arrays import features

__all__ = [
    "Disentanglement",
    "active_units",
    "dci",
    "disentanglement_of",
    "disentanglement_scores",
    "mutual_information_gap",
    "separated_attribute_predictability",
]

_LOOKED_AT = 5000  # codes that scores are of: seconds, and twenty of each pair of a bin and a value
_BINS = 20  # of a code, as in Chen et al. 2018 and Locatello et al. 2019
_TREES, _DEPTH = 30, 12
_LEAF = 0.02  # share of the samples in a leaf at least: in smaller ones dimensions of noise take part, too
_ACTIVE = 0.01  # variance of a dimension's mean, in nats² of the standard normal prior (Burda et al. 2016, §5.2)


@dataclasses.dataclass(frozen=True)
class Disentanglement:
    """What `dci` finds, each from 0 to 1.

    Attributes:
        disentanglement: whether a dimension tells of one factor only.
        completeness: whether a factor is told by one dimension only.
        informativeness: share of held-out values of the factors that the codes tell, above chance.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def disentanglement_scores(codes: ArrayLike, factors: ArrayLike, unordered: Sequence[int] = ()) -> dict[str, float]:
    """Return all scores here of the first 5,000 codes by name: mig, sap, those of `dci`, and active_units.

    Args:
        codes: (n, …), flattened to (n, d) with d of 2 or more.
        factors: whole numbers (n, k).
        unordered: columns of factors without an order.

    Raises:
        DataError: one dimension, other numbers of rows, a factor of one value.
    """
    z = np.asarray(codes)[:_LOOKED_AT]
    z, v = z.reshape(len(z), -1), np.asarray(factors)[:_LOOKED_AT]
    return {
        "mig": mutual_information_gap(z, v),
        "sap": separated_attribute_predictability(z, v, unordered),
        **dataclasses.asdict(dci(z, v)),
        "active_units": active_units(z),
    }


def active_units(means: ArrayLike, threshold: float = _ACTIVE) -> int:
    """Return how many dimensions of the posterior's means (n, d) vary over the data: Var_x E[z_i|x] > threshold.

    Source: Burda et al. 2016, §5.2.
    """
    return int((features(means, minimum=2).var(axis=0) > threshold).sum())


def mutual_information_gap(codes: ArrayLike, factors: ArrayLike) -> float:
    """Return MIG: of each factor the two largest I(z_i; v)/H(v), one less the other; their mean over factors.

    1 where one dimension alone tells each factor, 0 where two tell as much. Codes are cut into 20 bins of equal width,
    so n should be many times 20 times the values of a factor: few samples raise every I.
    Source: Chen et al. 2018, eq. 6.

    Args:
        codes: (n, d) with d of 2 or more.
        factors: whole numbers (n, k).

    Raises:
        DataError: one dimension, other numbers of rows, a factor of one value.
    """
    codes, factors = _pair(codes, factors)
    bins = [np.digitize(z, np.histogram_bin_edges(z, _BINS)[1:-1]) for z in codes.T]
    gaps = []
    for v in factors.T:
        told = sorted(_mutual_information(z, v) for z in bins)
        gaps.append((told[-1] - told[-2]) / _mutual_information(v, v))
    return float(np.mean(gaps))


def separated_attribute_predictability(
    codes: ArrayLike, factors: ArrayLike, unordered: Sequence[int] = (), *, seed: int = 0
) -> float:
    """Return SAP: of each factor how well the best dimension alone tells it, less the second best; their mean.

    An ordered factor is told by a line, scored by R²; an unordered one by as many thresholds as it has values, fitted
    on half of the samples and scored by balanced accuracy on the others, for which chance is 1/values. So a perfect
    code has 1 of an ordered factor and 1 − 1/values of an unordered one. Source: Kumar et al. 2018, §3.

    Args:
        codes: (n, d) with d of 2 or more.
        factors: whole numbers (n, k).
        unordered: columns of factors without an order.
        seed: of the halves.

    Raises:
        DataError: one dimension, other numbers of rows, a factor of one value.
    """
    codes, factors = _pair(codes, factors)
    order = np.random.default_rng(seed).permutation(len(codes))
    gaps = []
    for place, v in enumerate(factors.T):
        score = _thresholds if place in unordered else _squared_correlation
        told = sorted(score(z[order], v[order]) for z in codes.T)
        gaps.append(told[-1] - told[-2])
    return float(np.mean(gaps))


def dci(codes: ArrayLike, factors: ArrayLike, *, seed: int = 0) -> Disentanglement:
    """Return disentanglement, completeness and informativeness (Eastwood and Williams 2018).

    A forest of trees tells each factor from all dimensions; how much each dimension takes part are the importances,
    which `disentanglement_of` reads. It is fitted on half of the samples, informativeness is of the others.

    Args:
        codes: (n, d) with d of 2 or more.
        factors: whole numbers (n, k).
        seed: of the halves and the trees.

    Raises:
        DataError: one dimension, other numbers of rows, a factor of one value.
    """
    from sklearn.ensemble import RandomForestClassifier

    codes, factors = _pair(codes, factors)
    order = np.random.default_rng(seed).permutation(len(codes))
    fitted, held = order[: len(order) // 2], order[len(order) // 2 :]
    importances, told = [], []
    for v in factors.T:
        forest = RandomForestClassifier(
            _TREES, max_depth=_DEPTH, min_samples_leaf=_LEAF, max_features=None, random_state=seed
        )
        forest.fit(codes[fitted], v[fitted])
        importances.append(forest.feature_importances_)
        chance = np.bincount(v[held]).max() / len(held)
        right = float((forest.predict(codes[held]) == v[held]).mean())
        told.append(max(right - chance, 0.0) / (1.0 - chance) if chance < 1.0 else 0.0)
    return Disentanglement(*disentanglement_of(np.stack(importances, axis=1)), float(np.mean(told)))


def disentanglement_of(importances: ArrayLike) -> tuple[float, float]:
    """Return D and C of importances (d, k): how much dimension i takes part in telling factor j, 0 or more.

    D = Σ_i ρ_i (1 − H_k(R_i / Σ_j R_ij)), ρ_i dimension i's share of all importance; C is the mean over factors of
    1 − H_d(R_j / Σ_i R_ij); entropies to base k and d (Eastwood and Williams 2018, §2).
    """
    r = features(importances)
    by_code, by_factor = (1.0 - _entropies(rows) / np.log(max(rows.shape[1], 2)) for rows in (r, r.T))
    total = r.sum()
    return float((by_code * r.sum(axis=1)).sum() / total) if total else 0.0, float(by_factor.mean())


def _entropies(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy in nats of each row, scaled to sum to 1; that of an even one for a row of zeros."""
    sums = rows.sum(axis=1, keepdims=True)
    shares = np.divide(rows, sums, out=np.full_like(rows, 1.0 / rows.shape[1]), where=sums > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropies: NDArray[np.float64] = -(shares * logs).sum(axis=1)
    return entropies


def _pair(codes: ArrayLike, factors: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    z, v = features(codes, minimum=2), np.asarray(factors)
    v = v[:, None] if v.ndim == 1 else v
    if z.shape[1] < 2:
        raise DataError("A gap between two dimensions needs two: the codes have one.", mend="Use a larger latent.")
    if v.ndim != 2 or len(v) != len(z) or v.dtype.kind not in "iu" or (v.size and v.min() < 0):
        raise DataError(f"{len(z)} codes need whole numbers ({len(z)}, factors) of 0 or more, got {v.dtype} {v.shape}.")
    same = np.flatnonzero((v == v[:1]).all(axis=0))
    if len(same):
        raise DataError(f"Factor {same[0]} has one value in all {len(v)} samples.", mend="Leave it out.")
    return z, v.astype(np.int64)


def _mutual_information(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return I(a; b) in nats of whole numbers (n,), from their counts."""
    counts = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
    np.add.at(counts, (a, b), 1.0)
    joint = counts / len(a)
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())


def _squared_correlation(z: NDArray[np.float64], v: NDArray[np.int64]) -> float:
    if z.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(z, v)[0, 1] ** 2)


def _thresholds(z: NDArray[np.float64], v: NDArray[np.int64]) -> float:
    """Return the balanced accuracy on the second half of thresholds that are fitted on the first."""
    from sklearn.tree import DecisionTreeClassifier

    half, values = len(z) // 2, np.unique(v)
    tree = DecisionTreeClassifier(max_leaf_nodes=len(values), class_weight="balanced", random_state=0)
    right = tree.fit(z[:half, None], v[:half]).predict(z[half:, None]) == v[half:]
    return float(np.mean([right[v[half:] == value].mean() for value in values if (v[half:] == value).any()]))
