"""Metrics: pure numpy functions, one idea a file, each imported when it is first used so that listing costs nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloom.metrics.c2st import two_sample_accuracy
    from genloom.metrics.component import metric_component
    from genloom.metrics.context import MetricContext
    from genloom.metrics.disentanglement import (
        Disentanglement,
        active_units,
        dci,
        disentanglement_of,
        disentanglement_scores,
        mutual_information_gap,
        separated_attribute_predictability,
    )
    from genloom.metrics.features import ClassifierFeatures, classifier_features, pca_features
    from genloom.metrics.fingerprint import Fingerprint
    from genloom.metrics.frechet import frechet_distance, frechet_from_moments
    from genloom.metrics.inception import inception_score
    from genloom.metrics.kid import kernel_distance
    from genloom.metrics.likelihood import bits_per_dimension, perplexity
    from genloom.metrics.measuring import measure
    from genloom.metrics.mmd import mmd_rbf, unbiased_mmd
    from genloom.metrics.modes import ModeReport, class_modes, mixture_modes
    from genloom.metrics.neighbours import Neighbourhoods, nearest_neighbours, neighbourhoods
    from genloom.metrics.opponents import OPPONENTS
    from genloom.metrics.result import MetricResult
    from genloom.metrics.sliced import sliced_wasserstein

__all__ = [
    "OPPONENTS",
    "ClassifierFeatures",
    "Disentanglement",
    "Fingerprint",
    "MetricContext",
    "MetricResult",
    "ModeReport",
    "Neighbourhoods",
    "active_units",
    "bits_per_dimension",
    "class_modes",
    "classifier_features",
    "dci",
    "disentanglement_of",
    "disentanglement_scores",
    "frechet_distance",
    "frechet_from_moments",
    "inception_score",
    "kernel_distance",
    "measure",
    "metric_component",
    "mixture_modes",
    "mmd_rbf",
    "mutual_information_gap",
    "nearest_neighbours",
    "neighbourhoods",
    "pca_features",
    "perplexity",
    "separated_attribute_predictability",
    "sliced_wasserstein",
    "two_sample_accuracy",
    "unbiased_mmd",
]

_MODULES = {
    "ClassifierFeatures": "features",
    "Disentanglement": "disentanglement",
    "Fingerprint": "fingerprint",
    "MetricContext": "context",
    "MetricResult": "result",
    "ModeReport": "modes",
    "Neighbourhoods": "neighbours",
    "OPPONENTS": "opponents",
    "active_units": "disentanglement",
    "bits_per_dimension": "likelihood",
    "class_modes": "modes",
    "classifier_features": "features",
    "dci": "disentanglement",
    "disentanglement_of": "disentanglement",
    "disentanglement_scores": "disentanglement",
    "frechet_distance": "frechet",
    "frechet_from_moments": "frechet",
    "inception_score": "inception",
    "kernel_distance": "kid",
    "measure": "measuring",
    "metric_component": "component",
    "mixture_modes": "modes",
    "mmd_rbf": "mmd",
    "mutual_information_gap": "disentanglement",
    "nearest_neighbours": "neighbours",
    "neighbourhoods": "neighbours",
    "pca_features": "features",
    "perplexity": "likelihood",
    "separated_attribute_predictability": "disentanglement",
    "sliced_wasserstein": "sliced",
    "two_sample_accuracy": "c2st",
    "unbiased_mmd": "mmd",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'genloom.metrics' has no attribute {name!r}")
    return getattr(importlib.import_module(f"genloom.metrics.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
