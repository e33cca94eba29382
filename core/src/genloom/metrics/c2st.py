"""Classifier two-sample test: how often a classifier tells generated from real samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genloom.errors import ConfigError
from genloom.metrics._arrays import feature_pair

__all__ = ["two_sample_accuracy"]


def two_sample_accuracy(
    x: ArrayLike, y: ArrayLike, classifier: str = "logistic", folds: int = 5, seed: int = 0
) -> float:
    """Return the cross-validated balanced accuracy of telling x from y; 0.5 is indistinguishable.

    Lopez-Paz and Oquab (2017), section 3. The classifier is tested on samples it was not fitted on.

    Args:
        x: features (n, d), n ≥ folds.
        y: features (m, d), m ≥ folds.
        classifier: "logistic" sees differences of means, "neighbours" (k = √n) any difference, given enough samples.
        folds: parts of the cross-validation.
        seed: of the folds.

    Raises:
        ConfigError: an unknown classifier.
        DataError: the arrays are not two sets of finite vectors of one size, or have fewer rows than folds.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    x, y = feature_pair(x, y, minimum=folds)
    both = np.concatenate([x, y])
    side = np.repeat([0, 1], [len(x), len(y)])
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    model = _classifier(classifier, len(both))
    return float(cross_val_score(model, both, side, cv=parts, scoring="balanced_accuracy").mean())


def _classifier(name: str, rows: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    if name == "neighbours":
        return make_pipeline(StandardScaler(), KNeighborsClassifier(max(1, round(rows**0.5))))
    raise ConfigError(f"Unknown classifier {name!r}.", mend="Use logistic or neighbours.")
