"""A metric as a component: what it looks at, and what it needs to be measured."""

from __future__ import annotations

import dataclasses
from typing import Any

from genloom.modalities import NUMERIC
from genloom.plugins.offers import Component, MetricTraits

__all__ = ["metric_component"]


def metric_component(
    id: str,
    target: str,
    summary: str,
    *,
    accepts: tuple[str, ...] = (NUMERIC,),
    **traits: Any,
) -> Component:
    """Describe a metric: a function `(generated: Samples, context: MetricContext) -> float`.

    The floor and the opponents cost its author nothing: the same function is called on real and on simple samples.

    Args:
        id: its name; features follow a hyphen (`fd-pca20` is reported as `fd[pca20]`).
        target: "module:function".
        summary: one line for `genloom list`.
        accepts: kinds of data it takes.
        **traits: the fields of `genloom.MetricTraits`; `lower_is_better` must be said.
    """
    made = MetricTraits(**traits)
    if made.features.startswith("classifier"):
        made = dataclasses.replace(made, needs_classifier=True)
    return Component("metric", id, target, summary, accepts=accepts, metric=made)
