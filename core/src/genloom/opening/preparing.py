"""The preparations that a training names in its settings, by their components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genloom.errors import PluginError
from genloom.model.preparation import Preparation
from genloom.plugins.registry import call, chosen, named

__all__ = ["SLOTS", "preparations"]

#: Setting of the training → the kind of component that it names.
SLOTS = {"adapt": "adapter", "retain": "remedy"}


def preparations(training: Mapping[str, Any]) -> dict[str, Preparation]:
    """Return slot → preparation, made from its options, for the settings of a training that name any.

    Raises:
        NotFoundError: nothing has such a name.
        ConfigError: an unknown option, or a value of the wrong type or range.
        PluginError: what the component names makes no preparation.
    """
    return {slot: _made(kind, training[slot]) for slot, kind in SLOTS.items() if training.get(slot) is not None}


def _made(kind: str, text: str) -> Preparation:
    component, options = chosen(kind, text)
    made = call(component, "(options)", options)
    if not isinstance(made, Preparation):
        raise PluginError(f"{named(component)} makes a {type(made).__name__}, no genloom.Preparation.")
    return made
