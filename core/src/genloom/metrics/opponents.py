"""Simple models of the training data: a generative network that loses to them has failed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from genloom.metrics._arrays import slices
from genloom.metrics.features import pca_features

__all__ = ["OPPONENTS", "gaussian", "marginals", "mixture"]

Opponent = Callable[[NDArray[np.float64], int, int], NDArray[np.float64]]

# Above this size full covariances cost more than they teach: the mixture then lives in principal components.
_FULL_SIZE = 100
_MIXTURE_COMPONENTS = 64
# Rows of normal weights held at once: 512 × 10,000 float64 are 41 MB.
_ROWS = 512


def gaussian(train: NDArray[np.float64], n: int, seed: int) -> NDArray[np.float64]:
    """Draw n samples of the one Gaussian with the mean and covariance of train (N, d)."""
    rng, mean = np.random.default_rng(seed), train.mean(0)
    centred = (train - mean) / np.sqrt(len(train) - 1)
    # Combining centred rows by normal weights has their covariance exactly, without a d × d matrix.
    parts = [rng.standard_normal((part.stop - part.start, len(train))) @ centred for part in slices(n, _ROWS)]
    return mean + np.concatenate(parts)


def mixture(train: NDArray[np.float64], n: int, seed: int, components: int = 10) -> NDArray[np.float64]:
    """Draw n samples of a mixture of ten Gaussians with full covariances, fitted to train (N, d).

    Beyond 100 values it is fitted in 64 principal components.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    # Twenty rows a component, so that a tiny data set is not memorised.
    parts = int(np.clip(len(train) // 20, 1, components))
    projection = pca_features(train, _MIXTURE_COMPONENTS) if train.shape[1] > _FULL_SIZE else None
    rows = train if projection is None else projection(train)
    model = GaussianMixture(parts, random_state=seed)
    with warnings.catch_warnings():
        # A hundred rounds of EM are the recipe: an opponent need not be the best mixture there is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        drawn = model.fit(rows).sample(n)[0]
    # `sample` returns the components one after another; a prefix of the draw must be a draw as well.
    drawn = np.random.default_rng(seed).permutation(drawn)
    return drawn if projection is None else projection.restore(drawn)


def marginals(train: NDArray[np.float64], n: int, seed: int) -> NDArray[np.float64]:
    """Draw n samples whose values have the training frequencies, each drawn without regard to the others."""
    rows = np.random.default_rng(seed).integers(0, len(train), (n, train.shape[1]))
    return np.take_along_axis(train, rows, axis=0)


#: Name → function (train (N, d), n, seed) → samples (n, d).
OPPONENTS: Mapping[str, Opponent] = {"mixture": mixture, "gaussian": gaussian, "marginals": marginals}
