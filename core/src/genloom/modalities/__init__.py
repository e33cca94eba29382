"""Kinds of content: how samples of one are shown, written and compared; each is a component of kind `modality`.

Nothing here imports Keras. No other part of GenLoom branches on the kind of data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genloom.modalities.modality import Modality, Writer
from genloom.plugins.offers import ANY, NUMERIC

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from genloom.data.spec import DataSpec
    from genloom.plugins.offers import Component

__all__ = ["ANY", "NUMERIC", "Modality", "Writer", "modality_of", "picture", "pictured", "takes"]


def modality_of(spec: DataSpec) -> Modality:
    """Return the modality of data of a description.

    Raises:
        NotFoundError: no plugin that is installed knows this kind of data; says which may.
        PluginError: what a plugin offers under this name is none.
    """
    from genloom.errors import PluginError
    from genloom.plugins.registry import find

    component = find("modality", spec.kind)
    found = component.load()
    if not isinstance(found, Modality):
        raise PluginError(f"{component.id} is {found!r}, which is no genloom.modalities.Modality.")
    return found


def pictured(spec: DataSpec) -> bool:
    """Say whether samples of `spec` have a picture; text and music have none."""
    return modality_of(spec).pictured(spec)


def picture(
    samples: np.ndarray[Any, Any],
    spec: DataSpec,
    columns: int | None = None,
    labels: np.ndarray[Any, Any] | None = None,
) -> Image:
    """Draw samples in the way their modality does, see `Modality.picture`."""
    return modality_of(spec).picture(samples, spec, columns, labels)


def takes(component: Component, spec: DataSpec) -> bool:
    """Say whether a component takes data of this kind: those it names, with `NUMERIC` all that are amounts, or any.

    A metric looks at features, which are amounts where a modality has some of its own.
    """
    accepts = component.accepts
    if not accepts or ANY in accepts or spec.kind in accepts:
        return True
    modality = modality_of(spec)
    featured = component.kind == "metric" and bool(modality.features)
    return NUMERIC in accepts and (modality.numeric or featured)
