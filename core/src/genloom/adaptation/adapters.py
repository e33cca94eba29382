"""What every adapter is: a few weights beside a frozen model, put on, taken off, and merged into it."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from genloom.errors import ConfigError
from genloom.model.naming import own_layers, variable_names
from genloom.model.phase import Phase

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["LINEAR", "Adapter", "attach", "detach", "matrix_shape", "merge", "targets", "unmerge"]

#: Layers that take an adapter: what they multiply their inputs by is `kernel`, outputs last.
LINEAR = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


class Adapter(keras.layers.Layer):
    """The trainable part beside one linear layer; a convolution's kernel counts as a matrix (places · inputs, outputs).

    An adapter says what kernel and bias the layer computes with; one that can do with less than a whole kernel has a
    `dense` of its own.
    """

    def effective(self, kernel: Any, bias: Any) -> tuple[Any, Any]:
        """Return the kernel and the bias (None without one) that the adapted layer computes with."""
        raise NotImplementedError

    def settle(self, kernel: Any) -> None:
        """Set the weights so that `effective` leaves this kernel, and any bias, as they are: the change was merged."""
        raise NotImplementedError

    def dense(self, x: Any, layer: Any) -> Any:
        """Return the adapted outputs (…, outputs) of a dense layer for x (…, inputs), before its activation."""
        kernel, bias = self.effective(layer.kernel, layer.bias if layer.use_bias else None)
        y = ops.matmul(x, ops.cast(kernel, x.dtype))
        return y if bias is None else y + bias

    def convolution(self, x: Any, layer: Any) -> Any:
        """Return the adapted outputs of a convolution, before its activation."""
        kernel, bias = self.effective(layer.kernel, layer.bias if layer.use_bias else None)
        return biased(convolved(x, kernel, layer), bias, layer)


def convolved(x: Any, kernel: Any, layer: Any) -> Any:
    """Return the outputs of a convolution with this kernel, before bias and activation."""
    if layer.padding != "causal":
        return layer.convolution_op(x, kernel)
    before = [layer.dilation_rate[0] * (layer.kernel_size[0] - 1), 0]  # zeros, so that no output sees a later input
    x = ops.pad(x, [[0, 0], before, [0, 0]] if layer.data_format == "channels_last" else [[0, 0], [0, 0], before])
    return ops.conv(
        x, kernel, list(layer.strides), "valid", data_format=layer.data_format, dilation_rate=layer.dilation_rate
    )


def biased(y: Any, bias: Any, layer: Any) -> Any:
    """Return a convolution's outputs with its bias added."""
    if bias is None:
        return y
    ones = [1] * (len(y.shape) - 2)
    shape = [1, *ones, -1] if layer.data_format == "channels_last" else [1, -1, *ones]
    return y + ops.reshape(bias, shape)


def matrix_shape(layer: Any) -> tuple[int, int]:
    """Return (inputs, outputs) of a linear layer's kernel as a matrix."""
    *inputs, outputs = (int(side) for side in layer.kernel.shape)
    return math.prod(inputs), outputs


def targets(model: GenerativeModel, target: str) -> dict[str, Any]:
    """Return the linear layers, by their paths, that a pattern names: `*query|*value`.

    Raises:
        ConfigError: there is none.
    """
    linear = {path: layer for path, layer in own_layers(model) if isinstance(layer, LINEAR) and _plain(layer)}
    patterns = [pattern.strip() for pattern in target.split("|")]
    chosen = {p: layer for p, layer in linear.items() if any(fnmatch.fnmatchcase(p, pattern) for pattern in patterns)}
    if not chosen:
        known = ", ".join(list(linear)[:6]) or "none"
        raise ConfigError(f"No linear layer is called {target!r}.", mend=f"Linear layers: {known}, ….")
    return chosen


def _plain(layer: Any) -> bool:
    """Say whether a layer's outputs each see all inputs: groups of a convolution do not."""
    return getattr(layer, "groups", 1) == 1


def attach(model: GenerativeModel, adapters: dict[str, Any]) -> None:
    """Freeze a model and let adapters change what it computes.

    Every phase goes on with the adapters of the layers that it moved; a phase without any is left out. A model that
    was compiled must be compiled again.

    Args:
        model: any family's.
        adapters: path of a linear layer → its adapter; what belongs to no layer of that name, such as a prompt that
            the family itself reads from `model.adapters`, is moved by every phase.

    Raises:
        ConfigError: it is adapted already.
    """
    if model.adapters:
        raise ConfigError("This model is adapted already.", mend="Call merge(model) or detach(model) first.")
    layers: dict[str, Any] = dict(own_layers(model))
    moved = {phase.name: {id(variable) for variable in phase.resolve()} for phase in model.phases()}
    owned = {
        name: [a for path, a in adapters.items() if path not in layers or id(layers[path].kernel) in ids]
        for name, ids in moved.items()
    }
    for variable in model.trainable_variables:
        variable.trainable = False
    for path, adapter in adapters.items():
        if path in layers:
            _change(layers[path], adapter)
    model.adapters = {path.replace("/", "."): adapter for path, adapter in adapters.items()}
    model.phases = _of_adapters(model.phases, owned)  # type: ignore[method-assign]
    model.forget_samplers()


def detach(model: GenerativeModel) -> None:
    """Take the adapters off: the model computes what it did before, and stays frozen.

    Raises:
        ConfigError: the model has no adapters.
    """
    layers: dict[str, Any] = dict(own_layers(model))
    for name in _adapters(model):
        layer = layers.get(name.replace(".", "/"))
        if layer is not None:
            del layer.call
    model.adapters = {}
    del model.phases
    model.forget_samplers()


def merge(model: GenerativeModel) -> dict[str, np.ndarray[Any, Any]]:
    """Put what the adapters learned into the weights and set the adapters back: the model computes the same.

    Returns:
        What `unmerge` needs to undo it: the weights that change, by their names, as they were.

    Raises:
        ConfigError: the model has no adapters, or a prompt, which no weights can stand in for.
    """
    layers: dict[str, Any] = {path.replace("/", "."): layer for path, layer in own_layers(model)}
    adapters = _adapters(model)
    for name in adapters:
        if name not in layers:
            raise ConfigError(f"The {name} of this model cannot be merged: it is no change of its weights.")
    pairs = [(layers[name], adapter) for name, adapter in adapters.items()]
    changing = [v for layer, adapter in pairs for v in [*layer.variables, *adapter.variables]]
    ids = {id(variable) for variable in changing}
    before = {
        name: np.array(ops.convert_to_numpy(v.value)) for name, v in variable_names(model).items() if id(v) in ids
    }
    for layer, adapter in pairs:
        bias = layer.bias if layer.use_bias else None
        kernel, shifted = adapter.effective(layer.kernel.value, None if bias is None else bias.value)
        layer.kernel.assign(kernel)
        if bias is not None:
            bias.assign(shifted)
        adapter.settle(layer.kernel.value)
    return before


def unmerge(model: GenerativeModel, before: dict[str, np.ndarray[Any, Any]]) -> None:
    """Undo a `merge`, to the bit: the weights are the frozen ones again, and the adapters beside them.

    Args:
        model: the one that was merged.
        before: what `merge` returned.

    Raises:
        ConfigError: it is another model's.
    """
    named = variable_names(model)
    for name, value in before.items():
        if name not in named or tuple(named[name].shape) != value.shape:
            raise ConfigError(f"This model has no {name} of shape {value.shape}.", mend="Unmerge what was merged.")
    for name, value in before.items():
        named[name].assign(value)


def _adapters(model: GenerativeModel) -> dict[str, Any]:
    adapters: dict[str, Any] = dict(model.adapters)
    if not adapters:
        raise ConfigError("This model has no adapters.", mend="Call adapt(model, LoRAOptions()) first.")
    return adapters


def _change(layer: Any, adapter: Adapter) -> None:
    """Let a layer compute with its adapter."""
    linear = adapter.dense if isinstance(layer, keras.layers.Dense) else adapter.convolution

    def call(x: Any, training: Any = None) -> Any:
        y = linear(x, layer)
        return y if layer.activation is None else layer.activation(y)

    layer.call = call


def _of_adapters(phases: Callable[[], list[Phase]], owned: dict[str, list[Any]]) -> Callable[[], list[Phase]]:
    def variables_of(adapters: list[Any]) -> Callable[[], list[Any]]:
        return lambda: [variable for adapter in adapters for variable in adapter.trainable_variables]

    def adapted() -> list[Phase]:
        return [
            dataclasses.replace(phase, variables=variables_of(owned[phase.name]))
            for phase in phases()
            if owned[phase.name]
        ]

    return adapted
