"""What the core offers, as a plugin named "genloom": found through its entry point and called by hooks, as anyone's."""

from __future__ import annotations

from typing import Any

from genloom.hookspecs import hookimpl
from genloom.plugins.offers import Component, SampleRequest

__all__ = ["genloom_components", "genloom_sample"]


@hookimpl
def genloom_components() -> list[Component]:
    """Return the core's modalities, data sources, metrics and post-processors."""
    from genloom.builtin import datasets, metrics, modalities, postprocessors

    return [*datasets.COMPONENTS, *metrics.COMPONENTS, *postprocessors.COMPONENTS, *modalities.COMPONENTS]


@hookimpl(trylast=True)
def genloom_sample(request: SampleRequest) -> Any:
    """Draw the samples: the innermost call, around which plugins wrap."""
    return request.draw()
