"""What each measure on the page is, in one sentence: shown on hover, and as a list that is also printed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["definition", "definitions"]

_FEATURES = re.compile(r"(pca|classifier)\d+")
_COSTS = {
    "seconds per 1,000 samples": "Wall time of drawing 1,000 samples, without compiling; it depends on the machine.",
    "network evaluations": "How often the network is called to draw one sample.",
    "training time": "Wall time of the training, with validation and samples.",
    "parameters": "Numbers that the model holds.",
}
_LOSSES = {
    "val_": "The model's own {}: the mean over the training samples that were set aside, when last logged.",
    "test_": "The model's own {}: the mean over all held-out samples.",
}


def definition(name: str) -> str:
    """Return what a measure is by the name it is reported under, "" for one that nothing here offers."""
    if name in _COSTS:
        return _COSTS[name]
    for prefix, text in _LOSSES.items():
        if name.startswith(prefix):
            return text.format(name.removeprefix(prefix).replace("_", " "))
    return _metrics().get(_plain(name), "")


def definitions(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return (name, definition) of the measures of a page that have one, each once, in the order of the page."""
    names = dict.fromkeys(str(row["name"]) for row in rows)
    return [(name, text) for name in names if (text := definition(name))]


def _metrics() -> dict[str, str]:
    from genloom.plugins.registry import components

    return {_plain(component.id): component.summary for component in components("metric")}


def _plain(name: str) -> str:
    """Return a metric's name without the size of its features: the data may allow fewer than were asked for."""
    from genloom.metrics.choosing import spell

    return _FEATURES.sub(r"\1", spell(name))
