"""Mode coverage: which parts of a known mixture, or which classes, a sampler forgets."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from genloom.errors import DataError
from genloom.metrics._arrays import feature_pair

__all__ = ["ModeReport", "class_modes", "mixture_modes"]


@dataclasses.dataclass(frozen=True)
class ModeReport:
    """What a sampler covers of a known set of modes.

    Attributes:
        modes: modes with at least one sample (within 3σ, for a mixture).
        share: share of the samples within 3σ of their nearest mode; 0.989 for a perfect sampler in two dimensions,
            1 for classes.
        reverse_kl: KL(generated ‖ true mode frequencies) in nats; about (modes − 1) / 2n for a perfect sampler.
    """

    modes: int
    share: float
    reverse_kl: float


def mixture_modes(samples: ArrayLike, centres: ArrayLike, sigma: float) -> ModeReport:
    """Assign samples (n, d) to the nearest of the centres (k, d) of an even Gaussian mixture of width sigma.

    The protocol is that of PacGAN (Lin et al. 2018, section 4.1): a mode is covered by one sample within 3σ.

    Raises:
        DataError: the arrays are not finite vectors of one size.
    """
    from scipy.spatial.distance import cdist

    samples, centres = feature_pair(samples, centres)
    distance = cdist(samples, centres)  # (n, k)
    nearest, near = distance.argmin(1), distance.min(1) <= 3.0 * sigma
    counts = np.bincount(nearest, minlength=len(centres))
    return ModeReport(
        modes=len(np.unique(nearest[near])), share=float(near.mean()), reverse_kl=_reverse_kl(counts, len(centres))
    )


def class_modes(labels: ArrayLike, classes: int, frequencies: ArrayLike | None = None) -> ModeReport:
    """Count predicted labels (n,) against the true class frequencies (even ones when None).

    Stacked MNIST is this with 1,000 classes (Metz et al. 2017, section 3.3). At 2,500 samples even a perfect sampler
    shows about 919 of them: give n with the number.

    Raises:
        DataError: labels that are not in [0, classes).
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels) or labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"Labels must be integers in [0, {classes}), got an array of shape {labels.shape}.")
    counts = np.bincount(labels.astype(np.int64), minlength=classes)
    true = None if frequencies is None else np.asarray(frequencies, np.float64)
    return ModeReport(modes=int((counts > 0).sum()), share=1.0, reverse_kl=_reverse_kl(counts, classes, true))


def _reverse_kl(counts: np.ndarray, modes: int, true: np.ndarray | None = None) -> float:
    p = counts / counts.sum()
    q = np.full(modes, 1.0 / modes) if true is None else true / true.sum()
    seen = p > 0
    with np.errstate(divide="ignore"):  # a sample of a class that cannot be: infinitely far
        return float((p[seen] * (np.log(p[seen]) - np.log(q[seen]))).sum())
