"""Features to measure in: principal components or a small classifier's hidden units, fitted on the training data."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.errors import DataError
from genloom.metrics import cache
from genloom.metrics._arrays import features as _checked
from genloom.metrics.fingerprint import REVISION

__all__ = ["ClassifierFeatures", "Features", "PcaFeatures", "ValueFeatures", "classifier_features", "pca_features"]

# Gradient steps see this many samples in all: 300 epochs of digits, 60 of ten thousand pictures, seconds for both.
_VISITS = 600_000


class Features(Protocol):
    """A fitted map from samples (n, ...) to features (n, d) in float64.

    Attributes:
        name: what stands in a score's brackets, such as `pca20`.
        digest: hash of learnt weights, "" when the training data determine the map.
    """

    @property
    def name(self) -> str:
        """The features' name."""

    @property
    def digest(self) -> str:
        """The hash of learnt weights."""

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Map samples (n, ...) to features (n, d)."""


@dataclasses.dataclass(frozen=True, eq=False)
class ValueFeatures:
    """The samples' own values, flattened."""

    name: str = "values"
    digest: str = ""

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Map samples (n, ...) to their values (n, d)."""
        return _flat(x)


@dataclasses.dataclass(frozen=True, eq=False)
class PcaFeatures:
    """Coordinates along the directions of largest variance.

    Attributes:
        mean: (d,) of the training data.
        components: (k, d) orthonormal directions, largest variance first, each with its largest entry positive.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]

    @property
    def name(self) -> str:
        """`pca` and the number of components."""
        return f"pca{len(self.components)}"

    @property
    def digest(self) -> str:
        """Empty: the data determine the components, up to rounding that a score does not show."""
        return ""

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Map samples (n, ...) to coordinates (n, k)."""
        return (_flat(x) - self.mean) @ self.components.T

    def restore(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map coordinates (n, k) back to values (n, d)."""
        return z @ self.components + self.mean


@dataclasses.dataclass(frozen=True, eq=False)
class ClassifierFeatures:
    """The hidden units of a one-layer classifier, and the classifier itself.

    Attributes:
        weights: `mean` (d,), `scale` (), `w1` (d, hidden), `b1` (hidden,), `w2` (hidden, classes), `b2` (classes,)
            and `classes`, the labels in the order of the outputs.
        accuracy: share of the held-out samples it labels right, NaN when none were given.
    """

    weights: Mapping[str, NDArray[Any]]
    accuracy: float

    @property
    def name(self) -> str:
        """`classifier` and the number of hidden units."""
        return f"classifier{len(self.weights['b1'])}"

    @property
    def digest(self) -> str:
        """SHA-256 of the weights, 16 digits: another classifier is another measure."""
        return _digest(*(self.weights[key] for key in sorted(self.weights)))[:16]

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Map samples (n, ...) to hidden activations (n, hidden)."""
        w = self.weights
        scaled = (_flat(x) - w["mean"]) / w["scale"]
        return np.maximum(scaled @ w["w1"] + w["b1"], 0.0)

    def probabilities(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return class probabilities (n, classes)."""
        logits = self(x) @ self.weights["w2"] + self.weights["b2"]
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return exponentials / exponentials.sum(1, keepdims=True)

    def predict(self, x: ArrayLike) -> NDArray[Any]:
        """Return the likeliest label of each sample (n,)."""
        return self.weights["classes"][self.probabilities(x).argmax(1)]


def pca_features(train: ArrayLike, components: int = 20) -> PcaFeatures:
    """Fit principal components on training samples (n, ...); as many as the data allow, at most `components`.

    Raises:
        DataError: fewer than two samples, or values that are not finite.
    """
    from sklearn.decomposition import PCA

    x = _flat(train, minimum=2)
    kept = min(components, x.shape[1], len(x) - 1)
    # Exact where a d × d matrix is cheap; the randomised solver is seeded and exact to rounding for leading directions.
    solver = "full" if x.shape[1] <= 1024 else "randomized"
    with np.errstate(invalid="ignore"):  # shares of the variance, where there is none
        fitted = PCA(kept, svd_solver=solver, random_state=0).fit(x)
    rows = fitted.components_
    signs = np.sign(rows[np.arange(kept), np.abs(rows).argmax(1)])
    return PcaFeatures(mean=fitted.mean_, components=rows * signs[:, None])


def classifier_features(
    train_x: ArrayLike,
    train_label: ArrayLike,
    hidden: int = 32,
    seed: int = 0,
    *,
    test: tuple[ArrayLike, ArrayLike] | None = None,
) -> ClassifierFeatures:
    """Train a classifier with one layer of rectified units on the training samples only, or read it from the cache.

    Args:
        train_x: samples (n, ...).
        train_label: integer labels (n,).
        hidden: units, and so the size of the features.
        seed: of the initial weights and the batches.
        test: held-out samples and labels to state its accuracy on; they train nothing.

    Raises:
        DataError: fewer than two classes, labels that do not match, or values that are not finite.
    """
    x, label = _flat(train_x, minimum=2), np.asarray(train_label)
    if label.shape != (len(x),) or len(np.unique(label)) < 2:
        raise DataError(f"A classifier needs {len(x)} labels of two classes or more, got shape {label.shape}.")
    key = f"classifier-{hidden}-{seed}-{_VISITS}-{REVISION}-{_digest(x, label)}"
    weights = cache.read(key)
    if weights is None:
        weights = _train(x, label, hidden, seed)
        cache.write(key, weights)
    fitted = ClassifierFeatures(weights, accuracy=float("nan"))
    if test is None:
        return fitted
    return dataclasses.replace(fitted, accuracy=float((fitted.predict(test[0]) == np.asarray(test[1])).mean()))


def _train(x: NDArray[np.float64], label: NDArray[Any], hidden: int, seed: int) -> dict[str, NDArray[Any]]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    # One scale for all values: dividing a nearly constant pixel by its own spread would make it a loud one.
    mean, scale = x.mean(0), x.std() or 1.0
    epochs = int(np.clip(_VISITS // len(x), 10, 300))
    network = MLPClassifier((hidden,), random_state=seed, max_iter=epochs)
    with warnings.catch_warnings():
        # Stopping at a number of epochs is the recipe, and the accuracy is stated beside the score.
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit((x - mean) / scale, label)
    w1, w2 = network.coefs_
    b1, b2 = network.intercepts_
    if w2.shape[1] == 1:  # two classes: one logit, against 0
        w2, b2 = np.concatenate([np.zeros_like(w2), w2], 1), np.concatenate([np.zeros_like(b2), b2])
    plain = {"mean": mean, "scale": scale, "w1": w1, "b1": b1, "w2": w2, "b2": b2, "classes": network.classes_}
    return {name: np.asarray(array) for name, array in plain.items()}


def _flat(x: ArrayLike, minimum: int = 1) -> NDArray[np.float64]:
    array = np.asarray(x)
    return _checked(array.reshape(len(array), -1), minimum=minimum)


def _digest(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
