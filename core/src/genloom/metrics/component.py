"""A metric as a component: what it looks at, and what it needs to be measured."""

from __future__ import annotations

from genloom.plugins.offers import Component

__all__ = ["metric_component"]

# Distances need numbers that can be averaged; tokens and notes cannot.
_NUMERIC = ("image", "audio", "video", "signal", "table")


def metric_component(
    id: str,
    target: str,
    summary: str,
    *,
    lower_is_better: bool | None,
    features: str = "values",
    needs_labels: bool = False,
    needs_classifier: bool = False,
    needs_modes: bool = False,
    floor: str = "train",
    limit: int | None = None,
    needs_samples: int = 1,
    revision: int = 1,
    default: bool = False,
    accepts: tuple[str, ...] = _NUMERIC,
) -> Component:
    """Describe a metric: a function `(generated: SampleSet, context: MetricContext) -> float`.

    The floor and the opponents cost its author nothing: the same function is called on real and on simple samples.

    Args:
        id: its name; features follow a hyphen (`fd-pca20` is reported as `fd[pca20]`).
        target: "module:function".
        summary: one line for `genloom list`.
        lower_is_better: None when nearer to the floor is better.
        features: what it looks at: `values`, `pca<k>` or `classifier<k>`.
        needs_labels: whether generated samples must carry the label they were asked to have.
        needs_classifier: whether the data set must be labelled.
        needs_modes: whether the data set must be a mixture with known modes.
        floor: "train" scores training samples against held-out ones, "test" the held-out ones themselves (for a
            metric that searches the training data).
        limit: most samples it looks at, drawn by seed.
        needs_samples: fewest samples it can be measured on, generated and held out alike.
        revision: raised when its arithmetic changes, so that old and new values part.
        default: whether `evaluate` measures it without being asked.
        accepts: kinds of data it takes.
    """
    extras = {
        "lower_is_better": lower_is_better,
        "features": features,
        "needs_labels": needs_labels,
        "needs_classifier": needs_classifier or features.startswith("classifier"),
        "needs_modes": needs_modes,
        "floor": floor,
        "limit": limit,
        "needs_samples": needs_samples,
        "revision": revision,
        "default": default,
    }
    return Component("metric", id, target, summary, accepts=accepts, extras=extras)
