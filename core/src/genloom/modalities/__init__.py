"""Kinds of content: how samples of one are read, shown, written and compared; each is a component of kind `modality`.

Nothing here imports Keras. No other part of GenLoom branches on the kind of data.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from genloom.modalities.modality import Modality, Reader, Writer
from genloom.plugins.offers import ANY, NUMERIC

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from genloom.data.spec import DataSpec
    from genloom.modalities.promises import Held
    from genloom.plugins.offers import Component

__all__ = [
    "ANY",
    "NUMERIC",
    "Modality",
    "Reader",
    "Writer",
    "known",
    "layout",
    "modality_of",
    "of_kind",
    "picture",
    "pictured",
    "takes",
]


def modality_of(spec: DataSpec) -> Held:
    """Return the modality of data of a description; what it answers is held against what it promises.

    Raises:
        NotFoundError: no plugin that is installed knows this kind of data; says which may.
        PluginError: what a plugin offers under this name is none.
    """
    return of_kind(spec.kind)


def of_kind(kind: str) -> Held:
    """Return a modality by its name; errors are those of `modality_of`."""
    from genloom.plugins.registry import find

    return _loaded(find("modality", kind))


def _loaded(component: Component) -> Held:
    from genloom.errors import PluginError
    from genloom.modalities.promises import Held
    from genloom.plugins.registry import named

    found = component.load()
    if not isinstance(found, Modality):
        raise PluginError(f"{named(component)} is {found!r}, which is no genloom.modalities.Modality.")
    return Held(found, named(component))


def known() -> dict[str, Held]:
    """Return kind → modality of all that say what they read and write; others are errors where they are asked for."""
    from genloom.plugins.registry import components

    found = {}
    for component in components("modality"):
        with contextlib.suppress(Exception):  # a plugin's own code, which says what it will
            modality = _loaded(component)
            modality.readers(), modality.writers()
            found[component.name] = modality
    return found


def layout(spec: DataSpec) -> str:
    """Return the kind whose networks suit data of a description: that of which they are `like`, else their own."""
    return modality_of(spec).like or spec.kind


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

    A model takes those that are `like` a kind it takes, too. A metric looks at features, which are amounts where a
    modality has some of its own.
    """
    accepts = component.accepts
    if not accepts or ANY in accepts or spec.kind in accepts:
        return True
    modality = modality_of(spec)
    if component.kind == "model" and modality.like in accepts:
        return True
    featured = component.kind == "metric" and bool(modality.features)
    return NUMERIC in accepts and (modality.numeric or featured)
