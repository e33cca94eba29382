"""One metric on one set of samples: its value, and the values of real data and of simple models beside it."""

from __future__ import annotations

import math
import re

from genloom.arguments import described
from genloom.data.samples import Samples
from genloom.errors import DataError, PluginError
from genloom.metrics import cache
from genloom.metrics.context import FIT_ROWS, MetricContext
from genloom.metrics.fingerprint import Fingerprint
from genloom.metrics.opponents import OPPONENTS
from genloom.metrics.result import MetricResult
from genloom.plugins.offers import Component
from genloom.plugins.registry import call, named

__all__ = ["measure"]

_FEATURES = re.compile(r"-((?:pca|classifier)\d+)$")


def measure(component: Component, generated: Samples, context: MetricContext) -> MetricResult:
    """Call a metric on generated samples, real ones and those of the opponents, at the same n.

    A metric that has nothing to measure in these samples raises DataError: its result has no value, and says why.

    Args:
        component: a metric, made by `genloom.metrics.component.metric_component`.
        generated: the samples; a metric with a `limit` looks at so many of them, drawn by seed.
        context: the real side.

    Raises:
        ConfigError: the metric does not apply to these samples.
        PluginError: the metric gives no number, or the features it looks at are none.
    """
    samples = generated.subset(component.metric.limit)
    drawn = [f"{len(samples)} samples drawn"] if len(samples) < len(generated) else []
    fingerprint = _fingerprint(component, context, len(samples), drawn)
    value, reason = _score(component, samples, context)
    references = {} if reason else _references(component, context, fingerprint)
    return MetricResult(
        name=fingerprint.metric,
        value=value,
        n=len(samples),
        lower_is_better=component.metric.lower_is_better,
        fingerprint=fingerprint,
        floor=references.pop("floor", None),
        opponents=references,
        reason=reason,
    )


def _score(component: Component, samples: Samples, context: MetricContext) -> tuple[float, str]:
    """Return what a metric gives for samples and "", or NaN and why there is nothing to measure.

    Raises:
        PluginError: it gives no number.
    """
    try:
        found = call(component, "(generated, context)", samples, context)
    except DataError as error:
        return math.nan, error.message
    try:
        return float(found), ""
    except (TypeError, ValueError):
        raise PluginError(f"{named(component)} returned {described(found)}.", mend="Return one number.") from None


def _fingerprint(component: Component, context: MetricContext, n: int, drawn: list[str]) -> Fingerprint:
    """Return the protocol; `drawn` says which parts stand for the whole."""
    fitted = [f"fitted on {FIT_ROWS} drawn"] if len(context.train) > FIT_ROWS else []
    units = ["standardised"] if context.spec.scale else []
    label, digest = _features(component, context)
    return Fingerprint(
        # The data may allow fewer components than were asked for: the name says what was used.
        metric=_FEATURES.sub(f"[{label}]", component.id),
        data=context.data,
        n=n,
        reference_n=len(context.test),
        features=label,
        features_digest=digest,
        shape=context.spec.shape,
        setting=", ".join([*drawn, *fitted, *units]),
        revision=component.metric.revision,
    )


def _features(component: Component, context: MetricContext) -> tuple[str, str]:
    """Return the label and the digest of what a metric looks at; the name it declares where that cannot be fitted."""
    try:
        features = context.features(component.metric.features)
    except DataError:
        return component.metric.features, ""
    return context.label(features), features.digest


def _references(component: Component, context: MetricContext, fingerprint: Fingerprint) -> dict[str, float]:
    """Return the floor and the opponents' scores; those of the core's own metrics are cached for the data set."""
    key = f"references-{component.id}-{fingerprint.digest}-{context.seed}"
    # Another author's metric or features may change under the same name, so its numbers are never remembered.
    own = component.target.startswith("genloom.") and bool(context.data) and not context.modality.features
    found = cache.read(key) if own else None
    if found is not None:
        return {name: float(value) for name, value in found.items()}
    sets = _real_and_simple(component, context, fingerprint.n)
    scores = {name: _score(component, samples, context)[0] for name, samples in sets}
    scores = {name: score for name, score in scores.items() if math.isfinite(score)}
    if own:
        cache.write(key, scores)
    return scores


def _real_and_simple(component: Component, context: MetricContext, n: int) -> list[tuple[str, Samples]]:
    sets = []
    if component.metric.floor == "test":
        sets.append(("floor", context.test.subset(n)))
    elif len(context.train) >= n:  # fewer would be another score: Fréchet distances grow as n falls
        sets.append(("floor", _training(context, n)))
    if context.modality.numeric and not component.metric.needs_labels:  # a mean of what are no amounts is no sample
        sets += [(name, _opponent(name, context, n)) for name in OPPONENTS]
    return sets


def _training(context: MetricContext, n: int) -> Samples:
    return context.once(("training", n), lambda: context.train.subset(n, context.seed))


def _opponent(name: str, context: MetricContext, n: int) -> Samples:
    def draw() -> Samples:
        return context.restore(OPPONENTS[name](context.scaled(context.fitted), n, context.seed))

    return context.once((name, n), draw)
