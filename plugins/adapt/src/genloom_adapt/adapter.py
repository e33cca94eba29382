"""What every adapter is: a few weights beside one linear layer, and how a layer comes to compute with it."""

from __future__ import annotations

import fnmatch
import math
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from genloom.errors import ConfigError
from genloom.model.naming import own_layers

if TYPE_CHECKING:
    from genloom import GenerativeModel

__all__ = ["LINEAR", "Adapter", "biased", "convolved", "matrix_shape", "put_on", "take_off", "targets"]

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
    layers = ((path, layer) for path, layer in own_layers(model) if not path.startswith("preparations/"))
    linear = {path: layer for path, layer in layers if isinstance(layer, LINEAR) and _plain(layer)}
    patterns = [pattern.strip() for pattern in target.split("|")]
    chosen = {p: layer for p, layer in linear.items() if any(fnmatch.fnmatchcase(p, pattern) for pattern in patterns)}
    if not chosen:
        known = ", ".join(list(linear)[:6]) or "none"
        raise ConfigError(f"No linear layer is called {target!r}.", mend=f"Linear layers: {known}, ….")
    return chosen


def _plain(layer: Any) -> bool:
    """Say whether a layer's outputs each see all inputs: groups of a convolution do not."""
    return getattr(layer, "groups", 1) == 1


class _Adapted:
    """Goes before a layer's class, as torch's parametrisations do, so that the layer computes with its adapter."""

    adapter: tuple[Adapter]  # in a tuple of the class: the layer does not hold it, the preparation does

    def call(self: Any, inputs: Any, training: Any = None) -> Any:
        """Return the adapted outputs, after the layer's activation."""
        (adapter,) = self.adapter
        linear = adapter.dense if isinstance(self, keras.layers.Dense) else adapter.convolution
        y = linear(inputs, self)
        return y if self.activation is None else self.activation(y)

    @classmethod
    def from_config(cls: Any, config: dict[str, Any]) -> Any:
        """Return a layer of the class below, for a copy is not adapted."""
        return cls.__bases__[1].from_config(config)


def put_on(layer: Any, adapter: Adapter) -> None:
    """Let a layer compute with an adapter: it becomes of a class of its own, below its class."""
    kind = type(layer)
    layer.__class__ = type(f"Adapted{kind.__name__}", (_Adapted, kind), {"adapter": (adapter,)})


def take_off(layer: Any) -> None:
    """Let a layer compute without its adapter again: it becomes of its own class."""
    layer.__class__ = type(layer).__bases__[1]
