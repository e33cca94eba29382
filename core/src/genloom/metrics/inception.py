"""The Inception-style score of any classifier: sure of each sample, unsure which class comes next."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from genloom.errors import DataError

__all__ = ["inception_score"]


def inception_score(probabilities: ArrayLike) -> float:
    """Return exp(E KL(p(y|x) ‖ p(y))), from 1 to the number of classes (Salimans et al. 2016, section 4).

    It looks at no real data, so it can be high for bad samples; read it beside a distance.

    Args:
        probabilities: class probabilities (n, classes), each row summing to 1.

    Raises:
        DataError: the rows are not probabilities.
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or not len(p) or not (p >= 0).all() or not np.allclose(p.sum(1), 1.0, atol=1e-4):
        raise DataError(f"Class probabilities (n, classes) must be non-negative with rows summing to 1, got {p.shape}.")
    marginal = np.broadcast_to(p.mean(0), p.shape)
    # 0 log 0 is 0; a positive p makes its marginal positive.
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)
    return float(np.exp((p * np.log(ratio)).sum(1).mean()))
