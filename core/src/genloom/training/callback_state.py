"""Counters of callbacks, which Keras never saves: patience, best values, and whatever `get_state` returns.

A callback of one's own is `Stateful`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

__all__ = ["Stateful", "gather", "scatter", "without_state"]


@runtime_checkable
class Stateful(Protocol):
    """A Keras callback whose counters a checkpoint keeps."""

    def get_state(self) -> Mapping[str, Any]:
        """Return the counters by name: numbers, arrays or lists of arrays."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take them back."""


#: Attributes of Keras's own callbacks that change during training.
_KERAS = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    "ReduceLROnPlateau": ("best", "wait", "cooldown_counter"),
    "ModelCheckpoint": ("best",),
}
_NOT_STATE = ("model", "_model", "params", "validation_data")


def gather(callbacks: Sequence[Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Return copies of the callbacks' counters as arrays named `callback/<number>-<class>/<attribute>[/<item>]`."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for prefix, callback in _named(callbacks):
        for name, value in _state(callback).items():
            if isinstance(value, (list, tuple)):
                arrays.update({f"{prefix}/{name}/{i:04d}": np.array(item) for i, item in enumerate(value)})
            elif value is not None:
                arrays[f"{prefix}/{name}"] = np.array(value)
    return arrays


def scatter(callbacks: Sequence[Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Give the callbacks their counters back; to be called after their `on_train_begin`, which resets them."""
    for prefix, callback in _named(callbacks):
        prefix = _stored(prefix, arrays)
        found: dict[str, Any] = {}
        for name in sorted(arrays):
            if not name.startswith(f"{prefix}/"):
                continue
            attribute, _, item = name.removeprefix(f"{prefix}/").partition("/")
            value = arrays[name]
            if item:
                found.setdefault(attribute, []).append(value)
            else:
                found[attribute] = value.item() if value.ndim == 0 else value
        if isinstance(callback, Stateful):
            if found:
                callback.set_state(found)
        else:
            for attribute, value in found.items():
                setattr(callback, attribute, value)


def _stored(name: str, arrays: Mapping[str, Any]) -> str:
    """Return the name under which counters stand: in checkpoints from before, a callback's place numbered it."""
    held, kind = {"/".join(each.split("/")[:2]) for each in arrays}, name.partition("-")[2]
    same = [each for each in held if each.startswith("callback/") and each.partition("-")[2] == kind]
    return same[0] if len(same) == 1 and name not in held and name.startswith("callback/0-") else name


def without_state(callbacks: Iterable[Any]) -> list[str]:
    """Return the classes that seem to keep counters of their own and offer no `get_state`."""
    return [
        type(callback).__name__
        for callback in callbacks
        if not isinstance(callback, Stateful)
        and not type(callback).__module__.startswith("keras.")
        and any(name not in _NOT_STATE for name in vars(callback))
    ]


def _named(callbacks: Sequence[Any]) -> list[tuple[str, Any]]:
    """Number callbacks within their class, for a resume may have others beside them."""
    before: Counter[str] = Counter()
    named = []
    for callback in callbacks:
        kind = type(callback).__name__
        named.append((f"callback/{before[kind]}-{kind}", callback))
        before[kind] += 1
    return named


def _state(callback: Any) -> dict[str, Any]:
    if isinstance(callback, Stateful):
        return dict(callback.get_state())
    for kind in type(callback).__mro__:
        if kind.__name__ in _KERAS and kind.__module__.startswith("keras."):
            return {name: getattr(callback, name, None) for name in _KERAS[kind.__name__]}
    return {}
