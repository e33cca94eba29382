"""The core's own components, registered as a plugin named "genloom" through the same hooks as everyone's."""

from __future__ import annotations

from typing import Any

from genloom.hookspecs import SampleRequest, hookimpl
from genloom.plugins.offers import Component

__all__ = ["genloom_components", "genloom_sample"]


@hookimpl
def genloom_components() -> list[Component]:
    """Return the core's data sources, metrics and post-processors."""
    from genloom import postprocess
    from genloom.data import components as data
    from genloom.metrics import components as metrics

    return [*data.COMPONENTS, *metrics.COMPONENTS, *postprocess.COMPONENTS]


@hookimpl(trylast=True)
def genloom_sample(request: SampleRequest) -> Any:
    """Draw the samples: the innermost call, around which plugins wrap."""
    return request.draw()
