"""The core's metrics, light enough for `genloom list`: nothing here imports what it names."""

from __future__ import annotations

from typing import Any

from genloom.metrics.component import metric_component
from genloom.plugins.offers import Component

__all__ = ["COMPONENTS"]


def _own(name: str, function: str, summary: str, *, lower_is_better: bool | None, **traits: Any) -> Component:
    return metric_component(
        name, f"genloom.metrics.scores:{function}", summary, lower_is_better=lower_is_better, **traits
    )


#: The core's metrics; those with `default` are what `evaluate` measures.
COMPONENTS: tuple[Component, ...] = (
    _own(
        "fd-pca20",
        "fd_pca20",
        "Fréchet distance over 20 principal components of the training data.",
        lower_is_better=True,
        features="pca20",
        default=True,
        needs_samples=2,
    ),
    _own(
        "fd-classifier32",
        "fd_classifier32",
        "Fréchet distance over the hidden units of a classifier of the training data.",
        lower_is_better=True,
        features="classifier32",
        default=True,
        needs_samples=2,
    ),
    _own(
        "kid-pca20",
        "kid_pca20",
        "Unbiased cubic-kernel distance over 20 principal components.",
        lower_is_better=True,
        features="pca20",
        default=True,
        needs_samples=2,
    ),
    _own(
        "precision",
        "precision",
        "Share of samples inside the neighbourhoods of held-out data.",
        lower_is_better=False,
        features="pca20",
        default=True,
        needs_samples=6,
    ),
    _own(
        "recall",
        "recall",
        "Share of held-out data inside the samples' neighbourhoods.",
        lower_is_better=False,
        features="pca20",
        default=True,
        needs_samples=6,
    ),
    _own(
        "density",
        "density",
        "Held-out neighbourhoods a sample lies in; 1 for real data.",
        lower_is_better=None,
        features="pca20",
        default=True,
        needs_samples=6,
    ),
    _own(
        "coverage",
        "coverage",
        "Share of held-out data with a sample in its neighbourhood.",
        lower_is_better=False,
        features="pca20",
        default=True,
        needs_samples=6,
    ),
    _own(
        "nearest-train",
        "nearest_train",
        "Distance to the nearest training sample over that of held-out data; near 0: copies.",
        lower_is_better=None,
        floor="test",
        limit=500,
        revision=2,
        default=True,
    ),
    _own(
        "class-agreement",
        "class_agreement",
        "Share of samples a classifier gives the label that was asked for.",
        lower_is_better=False,
        features="classifier32",
        needs_labels=True,
        floor="test",
        default=True,
    ),
    _own(
        "modes",
        "modes",
        "Modes of the true mixture that the samples reach.",
        lower_is_better=False,
        needs_modes=True,
        default=True,
    ),
    _own(
        "mode-share",
        "mode_share",
        "Share of samples within 3σ of a mode.",
        lower_is_better=False,
        needs_modes=True,
        default=True,
    ),
    _own(
        "mode-kl",
        "mode_kl",
        "Reverse KL of the modes' frequencies, nats.",
        lower_is_better=True,
        needs_modes=True,
        default=True,
    ),
    _own(
        "label-transfer",
        "label_transfer",
        "Held-out accuracy of three nearest neighbours among the samples.",
        lower_is_better=False,
        needs_labels=True,
        needs_classifier=True,
        needs_samples=3,
    ),
    _own(
        "is-classifier32",
        "is_classifier32",
        "Inception-style score of a classifier of the training data.",
        lower_is_better=False,
        features="classifier32",
        floor="test",
    ),
    _own(
        "mmd-pca20",
        "mmd",
        "Unbiased Gaussian-kernel distance over 20 principal components.",
        lower_is_better=True,
        features="pca20",
        revision=2,
        needs_samples=2,
    ),
    _own("sliced-w2", "sliced_w2", "Squared sliced Wasserstein distance over the values.", lower_is_better=True),
    _own(
        "c2st",
        "two_sample",
        "Accuracy of telling samples from held-out data; 0.5 is best.",
        lower_is_better=None,
        features="pca20",
        needs_samples=5,
    ),
)
