"""Which metrics fit a data set and a set of samples, and which were asked for by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, DataError
from genloom.modalities import takes
from genloom.plugins.offers import Component

__all__ = ["choose", "enough", "spell"]

_OWN = re.compile(r"\[.*-((?:pca|classifier)\d+)\]")  # features that are taken of a modality's own

_REASONS = {
    "needs_classifier": "it trains a classifier, and the data have no labels",
    "needs_labels": "it needs a class-conditional model, and these samples have no labels",
    "needs_modes": "it needs a mixture with known modes, such as toy:8-ring",
}


def spell(name: str) -> str:
    """Return a metric's id from the name it is reported under: `fd[pca20]`, and `fd[pieces-pca20]`, are `fd-pca20`."""
    return _OWN.sub(r"-\1", name).replace("[", "-").replace("]", "")


def choose(
    names: Sequence[str] | None,
    spec: DataSpec,
    *,
    data_labelled: bool,
    samples_labelled: bool,
    known_modes: bool = False,
) -> list[Component]:
    """Return the metrics named, or for None the default ones that apply.

    Raises:
        NotFoundError: no metric has that name; names the nearest.
        ConfigError: a metric named does not take this kind of data, or needs labels that are absent.
    """
    from genloom.plugins.registry import components, find

    has = {"needs_classifier": data_labelled, "needs_labels": samples_labelled, "needs_modes": known_modes}
    if names is None:
        defaults = [metric for metric in components("metric") if metric.metric.default]
        return [m for m in defaults if _obstacle(m, spec, has) is None]
    chosen = [find("metric", spell(name)) for name in dict.fromkeys(names)]
    for metric in chosen:
        obstacle = _obstacle(metric, spec, has)
        if obstacle:
            raise ConfigError(f"The metric {metric.id!r} does not apply: {obstacle}.")
    return chosen


def _obstacle(metric: Component, spec: DataSpec, has: Mapping[str, bool]) -> str | None:
    if not takes(metric, spec):
        return f"it takes {', '.join(metric.accepts)}, got {spec.kind}"
    for need, reason in _REASONS.items():
        if getattr(metric.metric, need) and not has[need]:
            return reason
    return None


def enough(metric: Component, few: int, where: str, say: Callable[[str], None], *, named: bool) -> bool:
    """Whether a metric can be measured on so few samples; one that was named must be, another is told of.

    Args:
        metric: the metric.
        few: samples that there are.
        where: what limits them, "held out" or "drawn".
        say: is told of a metric that is skipped.
        named: whether the metric was asked for.

    Raises:
        DataError: too few for a metric that was named.
    """
    needed = metric.metric.needs_samples
    if few >= needed:
        return True
    obstacle = f"{metric.id} needs {needed} samples, {few} are {where}"
    if named:
        raise DataError(f"{obstacle}.", mend="Hold out and draw that many, or choose another metric.")
    say(f"{obstacle}: skipped.")
    return False
