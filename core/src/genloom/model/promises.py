"""What a model promises, held against what it does: whoever wrote it is told which promise broke, and where.

Everything here looks at names and shapes only, so it costs nothing in a compiled step.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from genloom.data.dataset import Split
from genloom.errors import PluginError
from genloom.model.alarm import Alarm
from genloom.model.phase import Phase
from genloom.plugins.discovery import whose

__all__ = [
    "check_alarms",
    "check_changed",
    "check_constructor",
    "check_covered",
    "check_drawn",
    "check_held_out",
    "check_holds",
    "check_loss",
    "check_methods",
    "check_phases",
    "check_split",
]

_REQUIRED = ("phases", "draw")


def check_methods(kind: type, base: type) -> None:
    """Raise PluginError for a class of models that leaves out what its base cannot do for it."""
    missing = [name for name in _REQUIRED if getattr(kind, name) is getattr(base, name)]
    if missing:
        raise PluginError(
            f"{_called(kind)} has no {' and no '.join(f'{name}()' for name in missing)}.",
            mend="A model implements phases(), which returns its losses, and draw(keys, condition), which samples.",
        )
    _check_takes(kind, "draw", "(keys, condition)", "keys", "condition")


def check_constructor(kind: type, parts: Iterable[str] = ()) -> None:
    """Raise PluginError for a class of models that cannot be made from its id, and of the models that options name."""
    form = ", ".join(["spec", "options", "seed=", "noise=", *(f"{name}=" for name in parts)])
    _check_takes(kind, "__init__", f"({form})", "spec", "options", seed=0, noise="native", **dict.fromkeys(parts))


def _check_takes(kind: type, method: str, form: str, *values: Any, **named: Any) -> None:
    """Refuse a method that cannot be called as the engine calls it."""
    try:
        inspect.signature(getattr(kind, method)).bind(None, *values, **named)
    except TypeError as error:
        raise PluginError(
            f"{_called(kind)}.{method} does not take {form}: {error}.", mend="Let it take them."
        ) from None


def check_phases(owner: Any, phases: Sequence[Phase]) -> list[Phase]:
    """Return the phases of a model or a preparation when there is one at least, and each has a name of its own.

    Raises:
        PluginError: there is none, something that is no phase, or a name twice.
    """
    name = _called(type(owner))
    if not isinstance(phases, (list, tuple)):
        raise PluginError(f"{name}.phases() returned {_described(phases)}.", mend="Return a list of genloom.Phase.")
    strangers = [_described(phase) for phase in phases if not isinstance(phase, Phase)]
    names = [phase.name for phase in phases if isinstance(phase, Phase)]
    if strangers or not names or len({*names}) != len(names):
        raise PluginError(
            f"{name}.phases() returned {[*names, *strangers]}.",
            mend="Return one genloom.Phase or more, all named apart.",
        )
    return list(phases)


def check_alarms(model: Any, alarms: Sequence[Any]) -> list[Alarm]:
    """Return a model's alarms when each is one, and has a name of its own.

    Raises:
        PluginError: it is none, or has another's name.
    """
    strangers = [_described(alarm) for alarm in alarms if not isinstance(alarm, Alarm)]
    names = [alarm.name for alarm in alarms if isinstance(alarm, Alarm)]
    if strangers or len({*names}) != len(names):
        raise PluginError(
            f"{_called(type(model))}.alarms() makes {[*names, *strangers]}.",
            mend="Return genloom.model.Alarm objects, all named apart.",
        )
    return list(alarms)


def check_covered(model: keras.Model, variables: Mapping[str, list[Any]]) -> None:
    """Raise PluginError for a trainable variable that no phase moves."""
    covered = {id(v) for group in variables.values() for v in group}
    for variable in model.trainable_variables:
        if id(variable) not in covered:
            raise PluginError(
                f"No phase moves the trainable variable {variable.path}.",
                mend="Add it to a phase's variables, or set trainable=False on its layer.",
            )


def check_loss(phase: Phase, found: Any) -> tuple[Any, Mapping[str, Any], Any]:
    """Return (mean, metrics, weight) as a phase's loss gave them: numbers, and the metrics that the phase declares.

    Raises:
        PluginError: something else; names the phase.
    """
    loss = f"{whose(phase.loss)}The loss of phase {phase.name!r}"
    if not isinstance(found, (tuple, list)) or len(found) != 3 or not isinstance(found[1], Mapping):
        raise PluginError(f"{loss} returns {_described(found)}.", mend="Return (mean, dict of metrics, weight).")
    mean, metrics, weight = found
    for name in sorted({*metrics} ^ {*phase.metrics}, key=str):
        raise PluginError(
            f"{loss} reports the metrics {sorted(metrics)}, declared are {list(phase.metrics)}.",
            mend=f"Make the two agree on {name!r}: names must exist before tracing.",
        )
    for name, value in {"its mean": mean, **metrics, "its weight": weight}.items():
        if _shape(value) != ():
            raise PluginError(
                f"{loss} gives {name} as {_described(value)}, not as one number.", mend="Take its mean: keras.ops.mean."
            )
    return mean, metrics, weight


def check_changed(phase: Phase, gradients: Sequence[Any], changed: Any) -> list[Any]:
    """Return what a phase's `change` made of its gradients, if it is one array for each, of the same shape.

    Raises:
        PluginError: it is not; the optimizer would leave a variable where it is, or move another.
    """
    wanted = [_shape(gradient) for gradient in gradients]
    found = [_shape(gradient) for gradient in changed] if isinstance(changed, (list, tuple)) else _described(changed)
    if found != wanted:
        name = f"{whose(phase.change)}Phase {phase.name!r}"
        raise PluginError(
            f"{name}: change() returned {found} for gradients of the shapes {wanted}.",
            mend="Return one gradient for each variable, in their order.",
        )
    return list(changed)


def check_held_out(model: Any, values: Any, weights: Any, n: int) -> None:
    """Raise PluginError unless `validate` gave its declared values and `validation_weights` a weight, one per sample.

    Args:
        model: a GenerativeModel.
        values: what `validate` returned.
        weights: what `validation_weights` returned.
        n: samples in the batch.
    """
    name, declared = _called(type(model)), model.validation
    if not isinstance(values, Mapping) or {*values} != {*declared}:
        given = sorted(values) if isinstance(values, Mapping) else _described(values)
        raise PluginError(
            f"{name}.validate() returned {given}, declared are {list(declared)}.",
            mend="Let the class attribute `validation` name what it returns.",
        )
    for what, value in {**values, "validation_weights()": weights}.items():
        if _shape(value) != (n,):
            raise PluginError(
                f"{name} holds out {what} as {_described(value)} for {n} samples.", mend="Return one number per sample."
            )


def check_drawn(model: Any, drawn: Any, wanted: tuple[int, ...]) -> None:
    """Raise PluginError unless `draw` gave one array of the shape (keys, *spec.shape) that is wanted."""
    if _shape(drawn) != wanted:
        name = _called(type(model))
        raise PluginError(
            f"{name}.draw() returned {_described(drawn)}: {wanted[0]} keys and its data make the shape {wanted}."
        )


def check_holds(preparation: keras.Layer, model: keras.Layer) -> None:
    """Raise PluginError for a preparation that holds the model, for that holds the preparation: neither ends."""
    if any(layer is model for layer in preparation._flatten_layers()):
        raise PluginError(
            f"{_called(type(preparation))}.prepare() kept the model as an attribute, so each would hold the other.",
            mend="Keep it as a function: self.model = lambda: model.",
        )


def check_split(preparation: Any, found: Any) -> Split:
    """Return what a preparation made of the training samples.

    Raises:
        PluginError: it is no split, or holds none.
    """
    if not isinstance(found, Split) or not len(found):
        given = "no samples" if isinstance(found, Split) else type(found).__name__
        raise PluginError(
            f"{_called(type(preparation))}.split() returned {given}.", mend="Return a genloom.data.Split of samples."
        )
    return found


def _called(kind: type) -> str:
    """Return a class's name, after its plugin's where that is loaded."""
    return f"{whose(kind)}{kind.__name__}"


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of an array, a tensor or a number, None for anything else."""
    if isinstance(value, numbers.Number):
        return ()
    held = isinstance(value, (np.ndarray, np.generic, keras.Variable)) or ops.is_tensor(value)
    return tuple(value.shape) if held else None


def _described(value: Any) -> str:
    shape = _shape(value)
    if shape is None:
        return type(value).__name__
    return f"an array of shape {shape}" if shape else "one number"
