"""The whole state of a training as arrays under GenLoom's own names, and back; checked before anything moves.

Names: `model/<attribute path>`, `ema/<attribute path>`, `optimizer/<phase>/{iterations,learning_rate,slot-0000,…}`,
`metric/<name>/<total or count>`, `counter/step`, `counter/updates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.errors import RunError, nearest
from genloom.messages import tell

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

    Arrays = Mapping[str, np.ndarray[Any, Any]]

__all__ = [
    "collect",
    "collect_weights",
    "named_variables",
    "restore",
    "restore_metrics",
    "restore_weights",
    "weights_by_name",
]


def named_variables(model: GenerativeModel) -> dict[str, Any]:
    """Return every variable of a compiled model, its optimizers and its running means by its name in a checkpoint."""
    named = weights_by_name(model)
    named["counter/step"] = model.step
    names = {id(variable): name.removeprefix("model/") for name, variable in named.items()}
    optimizer = model.optimizer
    named["counter/updates"] = optimizer.iterations
    for phase, own in optimizer.phases.items():
        named.update(_slots(phase, own))
    for variable, shadow in zip(optimizer.averaged, optimizer.shadows, strict=False):
        named[f"ema/{names[id(variable)]}"] = shadow
    for mean in model.trackers:
        named.update({f"metric/{mean.name}/{variable.name}": variable for variable in mean.variables})
    return named


def collect(model: GenerativeModel) -> dict[str, np.ndarray[Any, Any]]:
    """Copy the state of a compiled model out, also in the middle of an epoch."""
    model.sync_state()
    return {name: _copied(variable) for name, variable in named_variables(model).items()}


def collect_weights(model: GenerativeModel) -> dict[str, np.ndarray[Any, Any]]:
    """Copy the weights alone out of a model, which need not be compiled."""
    return {name: _copied(variable) for name, variable in weights_by_name(model).items()}


def restore(model: GenerativeModel, arrays: Arrays) -> None:
    """Put a collected state back into a model compiled in the same way.

    Running means are left to `restore_metrics`, because Keras resets them as an epoch begins.

    Raises:
        RunError: a missing or unexpected array (with the nearest name), or another shape; nothing has moved then.
    """
    parts = ("model/", "ema/", "optimizer/", "counter/")
    named = {name: v for name, v in named_variables(model).items() if name.startswith(parts)}
    given = _with_begun(model, {name: array for name, array in arrays.items() if name.startswith(parts)})
    _check(named, given)
    _refuse_unexpected(given, named)
    for name, variable in named.items():
        _assign(variable, given[name])


def _with_begun(model: GenerativeModel, given: Arrays) -> Arrays:
    """Begin averages of statistics that an older checkpoint has not at the statistics."""
    statistics = {id(variable) for variable in model.optimizer.statistics if model.optimizer.shadows}
    names = [name for name, variable in weights_by_name(model).items() if id(variable) in statistics]
    averages = {name.replace("model/", "ema/", 1): name for name in names}
    missing = {average: given[name] for average, name in averages.items() if average not in given and name in given}
    if missing:
        tell(f"this checkpoint has no average of {len(missing)} statistics: they are averaged from here on.")
    return {**missing, **given}


def restore_metrics(model: GenerativeModel, arrays: Arrays) -> None:
    """Put the running means of a partial epoch back; ones that were not collected start anew."""
    for name, variable in named_variables(model).items():
        if name.startswith("metric/") and name in arrays:
            _assign(variable, arrays[name])


def restore_weights(model: GenerativeModel, arrays: Arrays, *, averaged: bool = True) -> None:
    """Read the weights alone, from any backend, into a model that need not be compiled.

    Args:
        model: what to read into.
        arrays: a checkpoint's.
        averaged: whether to prefer the moving average of a weight where the checkpoint has one.

    Raises:
        RunError: an array that the model needs is missing or has another shape; nothing has moved then.
    """
    named = weights_by_name(model)
    chosen = {name: arrays[name] for name in named if name in arrays}
    if averaged:
        pairs = ((name, name.replace("model/", "ema/", 1)) for name in chosen)
        chosen |= {name: arrays[average] for name, average in pairs if average in arrays}
    _check(named, chosen, among=[name for name in arrays if name.startswith("model/")])
    for name, variable in named.items():
        _assign(variable, chosen[name])


def weights_by_name(model: GenerativeModel) -> dict[str, Any]:
    """Return every variable of a model but its step counter, as `model/<attribute path>`; it need not be compiled."""
    from genloom.model.naming import variable_names

    return {f"model/{name}": v for name, v in variable_names(model).items() if v is not model.step}


def _slots(phase: str, optimizer: Any) -> dict[str, Any]:
    """Name the state of one phase's optimizer: two by what they are, the rest by the order Keras makes them in."""
    named = {
        f"optimizer/{phase}/iterations": optimizer.iterations,
        f"optimizer/{phase}/learning_rate": optimizer._learning_rate,
    }
    known = {id(variable) for variable in named.values()}
    rest = [variable for variable in optimizer.variables if id(variable) not in known]
    return named | {f"optimizer/{phase}/slot-{i:04d}": variable for i, variable in enumerate(rest)}


def _check(named: Mapping[str, Any], given: Arrays, among: Iterable[str] | None = None) -> None:
    for name, variable in named.items():
        if name not in given:
            raise RunError(
                f"The checkpoint lacks {name!r}.{nearest(name, given if among is None else among)}",
                mend="It belongs to a model of other options, or to another version of its plugin.",
            )
        if tuple(given[name].shape) != tuple(variable.shape):
            raise RunError(
                f"{name!r} has shape {tuple(given[name].shape)} in the checkpoint, {tuple(variable.shape)} here.",
                mend="Build the model with the options and data it was trained with.",
            )


def _refuse_unexpected(given: Iterable[str], named: Mapping[str, Any]) -> None:
    for name in given:
        if name not in named:
            raise RunError(
                f"The checkpoint holds {name!r}, for which the model has no place.{nearest(name, named)}",
                mend="It belongs to a model of other options, or to another version of its plugin.",
            )


def _copied(variable: Any) -> np.ndarray[Any, Any]:
    from keras import ops

    return np.array(ops.convert_to_numpy(variable.value))  # a copy: an engine may give the variable's own memory


def _assign(variable: Any, array: np.ndarray[Any, Any]) -> None:
    kind = variable.dtype
    variable.assign(array.astype("float32") if kind == "bfloat16" else array.astype(kind))
