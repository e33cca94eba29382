"""Networks that a family builds or a caller hands over: how they are called, and a clear error when shapes do not fit.

A network gets its inputs, such as samples or latents, and, if it has one input more, one-hot labels (n, classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from genloom.errors import ConfigError

__all__ = ["Inputs", "check_network", "full_precision", "one_hot", "run_network", "takes_labels"]


class Inputs:
    """The inputs of a network in Keras's functional form: one, and with `classes` a second for one-hot labels.

    Args:
        shape: shape of one sample, without the batch axis.
        classes: width of the one-hot labels; 0 for a network without them.
    """

    def __init__(self, shape: Sequence[int], classes: int = 0) -> None:
        self.x = keras.Input(tuple(shape))
        self.labels = keras.Input((classes,)) if classes else None

    def with_labels(self, x: Any) -> Any:
        """Return features (n, d) with the labels behind them, if there are any."""
        return x if self.labels is None else keras.layers.Concatenate()([x, self.labels])

    def network(self, output: Any, name: str) -> keras.Model:
        """Return the network from the inputs to an output made of them."""
        return keras.Model(self.x if self.labels is None else [self.x, self.labels], output, name=name)


def takes_labels(network: keras.Layer, inputs: int = 1) -> bool:
    """Say whether a network has one more input than `inputs`, for one-hot labels."""
    return len(_declared(network)) == inputs + 1


def _declared(network: keras.Layer) -> list[tuple[int | None, ...]]:
    """Return the shapes that a network's inputs were made with; none of a subclassed model or an unbuilt Sequential."""
    try:
        return [tuple(x.shape[1:]) for x in network.inputs]
    except (AttributeError, ValueError, TypeError):
        return []


def full_precision(x: Any) -> Any:
    """Return an array or tensor in `floatx`, in which losses and samples are, whatever the layers compute in."""
    return ops.cast(ops.convert_to_tensor(x), keras.config.floatx())


def one_hot(labels: Any, classes: int) -> Any:
    """Return one-hot rows of integers (n, …) as floats (n, …, classes); a row of zeros for one that is no class.

    By comparison: `ops.one_hot` looks at the values on torch, which no captured step may.
    """
    labels = ops.cast(ops.convert_to_tensor(labels), "int32")
    return ops.cast(ops.equal(labels[..., None], ops.arange(classes, dtype="int32")), keras.config.floatx())


def run_network(network: keras.Layer, *inputs: Any, labels: Any = None, training: bool = False) -> Any:
    """Call a network on its inputs, and on one-hot labels (n, classes) if it takes them; return full precision.

    Raises:
        ConfigError: it takes labels and there are none.
    """
    return ops.cast(_call(network, inputs, labels, training), keras.config.floatx())


def _call(network: keras.Layer, inputs: Sequence[Any], labels: Any, training: bool = False) -> Any:
    given = [*inputs]
    if takes_labels(network, len(inputs)):
        if labels is None:
            raise ConfigError("This model takes labels and got none.", mend="Pass label=.")
        given.append(labels)
    return network(given if len(given) > 1 else given[0], training=training)


def check_network(
    role: str, network: keras.Layer, shapes: Sequence[Sequence[int]], output: Sequence[int], classes: int = 0
) -> None:
    """Trace a network symbolically and compare what it returns; an unbuilt one is built by it.

    Args:
        role: the argument's name, for the error.
        network: a Keras layer or model.
        shapes: shape of one sample of each input, without the batch axis.
        output: shape of one output sample, without the batch axis.
        classes: width of the one-hot labels that a further input gets; 0 means there are none.

    Raises:
        ConfigError: no Keras layer, inputs that cannot be fed, or another output shape; names both.
    """
    if not isinstance(network, keras.Layer):
        raise ConfigError(f"{role} must be a Keras layer or model, got {type(network).__name__}.")
    given = [str(tuple(shape)) for shape in shapes]
    if takes_labels(network, len(shapes)):
        if not classes:
            raise ConfigError(f"{role} has an input for labels, but the data has no classes.")
        shapes = [*shapes, (classes,)]
        given.append(f"one-hot labels ({classes},)")
    wanted = f"{role} must map {' and '.join(given)} to {tuple(output)} (without the batch axis)"
    for shape, declared in zip(shapes, _declared(network), strict=False):
        # Keras lets an axis of length 1 pass for any other.
        if len(shape) == len(declared) and any(d not in (None, s) for s, d in zip(shape, declared, strict=True)):
            raise ConfigError(f"{wanted}; it cannot take its input: it was made for {declared}.")
    inputs = [keras.KerasTensor((None, *shape)) for shape in shapes]
    try:
        result = network(inputs if len(inputs) > 1 else inputs[0], training=False)
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"{wanted}; it cannot take its input: {reason}") from error
    received = tuple(getattr(result, "shape", ()))[1:]
    if received != tuple(output):
        raise ConfigError(f"{wanted}; it returns {received}.", mend=f"Change its last layer to give {tuple(output)}.")
