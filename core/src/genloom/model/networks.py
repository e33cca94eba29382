"""Networks that a family builds or a caller hands over: how they are called, and a clear error when shapes do not fit.

A network of one input gets the samples (or latents); one of two inputs gets them and one-hot labels (n, classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from genloom.errors import ConfigError

__all__ = ["check_network", "one_hot", "run_network", "takes_labels"]


def takes_labels(network: keras.Layer) -> bool:
    """Say whether a network has a second input, for one-hot labels."""
    try:
        return len(network.inputs) == 2
    except (AttributeError, ValueError, TypeError):  # A subclassed model or an unbuilt Sequential has no inputs.
        return False


def one_hot(labels: Any, classes: int) -> Any:
    """Return one-hot rows of integers (n, …) as floats (n, …, classes).

    By comparison: `ops.one_hot` looks at the values on torch, which no captured step may.
    """
    labels = ops.cast(ops.convert_to_tensor(labels), "int32")
    return ops.cast(ops.equal(labels[..., None], ops.arange(classes, dtype="int32")), keras.config.floatx())


def run_network(network: keras.Layer, x: Any, labels: Any = None, training: bool = False) -> Any:
    """Call a network on `x`, with one-hot labels (n, classes) if it takes them."""
    return network([x, labels] if takes_labels(network) else x, training=training)


def check_network(
    role: str, network: keras.Layer, shape: Sequence[int], output: Sequence[int], classes: int = 0
) -> None:
    """Trace a network symbolically and compare what it returns; an unbuilt one is built by it.

    Args:
        role: the argument's name, for the error.
        network: a Keras layer or model.
        shape: shape of one input sample, without the batch axis.
        output: shape of one output sample, without the batch axis.
        classes: width of the one-hot labels that a second input gets; 0 means there are none.

    Raises:
        ConfigError: no Keras layer, inputs that cannot be fed, or another output shape; names both.
    """
    if not isinstance(network, keras.Layer):
        raise ConfigError(f"{role} must be a Keras layer or model, got {type(network).__name__}.")
    if takes_labels(network) and not classes:
        raise ConfigError(f"{role} has an input for labels, but the data has no classes.")
    wanted = f"{role} must map {tuple(shape)} to {tuple(output)} (without the batch axis)"
    x, labels = keras.KerasTensor((None, *shape)), keras.KerasTensor((None, classes)) if classes else None
    try:
        result = run_network(network, x, labels)
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"{wanted}; it cannot take its input: {reason}") from error
    received = tuple(getattr(result, "shape", ()))[1:]
    if received != tuple(output):
        raise ConfigError(f"{wanted}; it returns {received}.", mend=f"Change its last layer to give {tuple(output)}.")
