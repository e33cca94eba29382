"""The dense counterpart of the U-Net, for vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from genloom.layers.embedding import ConditionEmbedding

__all__ = ["ResidualMLP"]


@keras.saving.register_keras_serializable(package="genloom")
class ResidualMLP(keras.Model):
    """A residual network of dense layers over flattened samples, under a time and a label like `UNet`.

    Args:
        shape: shape of a sample.
        width: units of each layer.
        depth: residual layers.
        classes: number of labels, 0 for none.
        times: how many times it is given.
    """

    def __init__(
        self, shape: Sequence[int], width: int = 128, depth: int = 3, classes: int = 0, times: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.settings = {"shape": list(shape), "width": width, "depth": depth, "classes": classes, "times": times}
        self.sample_shape, self.size = tuple(shape), math.prod(shape)
        # Smooth in time: high frequencies would let so small a network fit the noise of the batch.
        self.embedding = ConditionEmbedding(width, classes, longest=30.0, times=times)
        self.stem = keras.layers.Dense(width)
        self.hidden = [keras.layers.Dense(width) for _ in range(depth)]
        self.condition = [keras.layers.Dense(width) for _ in range(depth)]
        self.head = keras.layers.Dense(self.size, kernel_initializer="zeros")
        label = keras.KerasTensor((1,), "int32") if classes else None
        self(keras.KerasTensor((1, *shape)), keras.KerasTensor((1, times)), label)  # creates every weight

    def build(self, *shapes: Any) -> None:
        """Nothing to do: the first, symbolic call in the constructor creates the weights."""
        self.built = True

    def call(self, x: Any, t: Any, label: Any = None, training: bool = False) -> Any:
        """Map x (n, *shape), times t (n,) or (n, times) in [0, 1] and labels (n,) in 0 … classes to (n, *shape)."""
        e = ops.silu(self.embedding(t, label))
        y = self.stem(ops.reshape(x, (-1, self.size)))
        for hidden, condition in zip(self.hidden, self.condition, strict=True):
            y = y + hidden(ops.silu(y + condition(e)))
        return ops.reshape(self.head(ops.silu(y)), (-1, *self.sample_shape))

    def get_config(self) -> dict[str, Any]:
        """Return the configuration."""
        return {"name": self.name, **self.settings}
