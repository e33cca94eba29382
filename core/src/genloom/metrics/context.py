"""What a metric may look at: the real data, their spec, and features fitted once on the training split."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from genloom.data.samples import Samples
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError
from genloom.metrics.features import (
    ClassifierFeatures,
    Features,
    ValueFeatures,
    classifier_features,
    pca_features,
)
from genloom.modalities import Modality, modality_of

__all__ = ["FIT_ROWS", "MetricContext"]

T = TypeVar("T")

#: Features and opponents are fitted on at most this many training samples: enough for both, and seconds of work.
FIT_ROWS = 10_000


@dataclasses.dataclass(frozen=True, eq=False)
class MetricContext:
    """The real side of a measurement, shared by all metrics of one evaluation.

    Attributes:
        train: training samples; features and opponents are fitted on them, and copies are searched among them.
        test: held-out samples that generated ones are compared with.
        spec: description of one sample.
        data: fingerprint of the data set.
        seed: of whatever a metric draws.
        density: the true log density where it is known; a `genloom.data.IsotropicMixture` has known modes.
    """

    train: Samples
    test: Samples
    spec: DataSpec
    data: str = ""
    seed: int = 0
    density: Any = None
    _kept: dict[Hashable, Any] = dataclasses.field(default_factory=dict, repr=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return `make()`, kept under `key` for the metrics that ask again."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    @property
    def modality(self) -> Modality:
        """The modality of the data."""
        return self.once("modality", lambda: modality_of(self.spec))

    def values(self, samples: Samples) -> NDArray[np.float64]:
        """Return what metrics compare samples by (n, d): features of their modality's own, or values, scaled."""
        if not self.modality.features:
            return self.scaled(samples)
        return np.asarray(self.modality.featured(samples.samples, self.spec), np.float64)

    def scaled(self, samples: Samples) -> NDArray[np.float64]:
        """Return samples flattened (n, d) and scaled, so that scores do not depend on the unit values are stored in.

        The value range maps to [0, 1]; unbounded values are standardised as the spec says, or divided by their spread
        over the training data where it says nothing.
        """
        offset, scale = self._scale()
        return (np.asarray(samples.samples, np.float64).reshape(len(samples), -1) - offset) / scale

    def restore(self, values: NDArray[np.float64]) -> Samples:
        """Return unlabelled samples from scaled values (n, d), clipped to the value range: the inverse of `scaled`."""
        offset, scale = self._scale()
        x = values * scale + offset
        if self.spec.value_range is not None:
            x = x.clip(*self.spec.value_range)
        return Samples(x.reshape(len(x), *self.spec.shape), self.spec)

    def features(self, name: str) -> Features:
        """Return the features `values`, `pca<k>` or `classifier<k>`, fitted on `values` of the training samples.

        Raises:
            ConfigError: another name, or a classifier for data without labels.
        """
        if name == "values":
            return ValueFeatures(self.modality.features or name)
        kind, size = name.rstrip("0123456789"), name.lstrip("abcdefghijklmnopqrstuvwxyz")
        if kind == "pca" and size.isdigit():
            return self.once(name, lambda: pca_features(self.values(self.fitted), int(size)))
        if kind == "classifier" and size.isdigit():
            return self.classifier(int(size))
        raise ConfigError(f"Unknown features {name!r}.", mend="Use values, pca<k> or classifier<k>.")

    def classifier(self, hidden: int = 32) -> ClassifierFeatures:
        """Return the classifier of `hidden` units fitted on the training samples.

        Raises:
            ConfigError: the data have no labels.
        """
        label, test_label = self.fitted.labels, self.test.labels
        if label is None:
            raise ConfigError("This data set has no labels to train a classifier on.", mend="Use features pca20.")
        test = None if test_label is None else (self.values(self.test), test_label)
        return self.once(
            f"classifier{hidden}",
            lambda: classifier_features(self.values(self.fitted), label, hidden, seed=0, test=test),
        )

    def label(self, features: Features) -> str:
        """Return the name of features, after that of what they are taken of unless it is the values: `pieces-pca20`."""
        own = self.modality.features
        return features.name if own in ("", features.name) else f"{own}-{features.name}"

    def embed(self, name: str, samples: Samples) -> NDArray[np.float64]:
        """Return samples as features (n, d) of the given name."""
        return self.once((name, samples), lambda: self.features(name)(self.values(samples)))

    @property
    def fitted(self) -> Samples:
        """The training samples that features and opponents are fitted on, at most `FIT_ROWS`."""
        return self.once("fitted", lambda: self.train.subset(FIT_ROWS))

    def _scale(self) -> tuple[Any, Any]:
        """Return what is subtracted and divided by: numbers, or rows (d,)."""
        spec = self.spec
        if spec.value_range is not None:
            low, high = spec.value_range
            return low, high - low
        if spec.scale:
            repeats = spec.size // len(spec.scale)
            return np.tile(spec.mean, repeats), np.tile(spec.divisors, repeats)
        return 0.0, self.once("spread", lambda: float(np.std(self.train.samples, dtype=np.float64)) or 1.0)
