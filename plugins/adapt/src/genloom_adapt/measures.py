"""What a sequence of tasks did to one model, from the matrix of its scores (Lopez-Paz and Ranzato 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.errors import ConfigError

__all__ = ["average", "backward_transfer", "forgetting", "forward_transfer"]


def _good(matrix: ArrayLike, lower_is_better: bool) -> NDArray[np.float64]:
    """Return R (T + 1, T) so that more is better: row i is after i tasks, row 0 before any."""
    r = np.asarray(matrix, np.float64)
    if r.ndim != 2 or r.shape[0] != r.shape[1] + 1 or not np.isfinite(r).all():
        raise ConfigError(f"Scores of T tasks are a finite matrix (T + 1, T), got shape {r.shape}.")
    return -r if lower_is_better else r


def average(matrix: ArrayLike, lower_is_better: bool = False) -> float:
    """Return the mean over tasks of the score after the last one (their equation 2), in its own direction.

    Args:
        matrix: R (T + 1, T); R[i, j] is the score on task j after i tasks were learned.
        lower_is_better: True for losses.

    Raises:
        ConfigError: another shape, or numbers that are not finite.
    """
    mean = float(_good(matrix, lower_is_better)[-1].mean())
    return -mean if lower_is_better else mean


def backward_transfer(matrix: ArrayLike, lower_is_better: bool = False) -> float:
    """Return what learning later tasks did to earlier ones (their equation 3): negative when they were forgotten.

    Args and errors as for `average`; 0 for a single task.
    """
    r = _good(matrix, lower_is_better)
    tasks = r.shape[1]
    return float(np.mean([r[-1, j] - r[j + 1, j] for j in range(tasks - 1)])) if tasks > 1 else 0.0


def forward_transfer(matrix: ArrayLike, lower_is_better: bool = False) -> float:
    """Return what earlier tasks did for later ones before these were learned (their equation 4).

    The baseline is the model before any task, which the first row has. Args and errors as for `average`.
    """
    r = _good(matrix, lower_is_better)
    tasks = r.shape[1]
    return float(np.mean([r[j, j] - r[0, j] for j in range(1, tasks)])) if tasks > 1 else 0.0


def forgetting(matrix: ArrayLike, lower_is_better: bool = False) -> list[float]:
    """Return for each task but the last how far it fell from its best (Chaudhry et al. 2018, equation 3).

    Args and errors as for `average`. Positive where something was forgotten; negative where later tasks helped.
    """
    r = _good(matrix, lower_is_better)
    tasks = r.shape[1]
    return [float(r[j + 1 : -1, j].max() - r[-1, j]) for j in range(tasks - 1)]
