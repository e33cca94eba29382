"""The denoisers: a U-Net for images, a dense residual network for everything flat, or the user's own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from genloom import DataSpec
from genloom.errors import ConfigError
from genloom.layers import ConditionEmbedding, UNet
from genloom_diffusion.options import DiffusionOptions

__all__ = ["DenseDenoiser", "OwnDenoiser", "denoiser_for"]


def denoiser_for(spec: DataSpec, options: DiffusionOptions, own: keras.Layer | None = None) -> keras.Model:
    """Return a network `(x, t, label=None)` -> like x, for x (n, *spec.shape) and t (n,) in [0, 1]."""
    if own is not None:
        return OwnDenoiser(own, spec)
    if spec.kind == "image":
        return UNet(
            spec.shape, options.channels, options.blocks, options.attention, options.embedding, spec.classes,
            options.patch, options.dropout, options.heads,
        )  # fmt: skip
    return DenseDenoiser(spec.shape, options.width, options.depth, spec.classes)


class DenseDenoiser(keras.Model):
    """A residual network of dense layers over flattened samples.

    Args:
        shape: shape of a sample.
        width: units of each layer.
        depth: residual layers.
        classes: number of labels, 0 for none.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 128, depth: int = 3, classes: int = 0) -> None:
        super().__init__()
        self.sample_shape, self.size = tuple(shape), int(np.prod(shape))
        # Smooth in time: high frequencies would let so small a network fit the noise of the batch.
        self.embedding = ConditionEmbedding(width, classes, longest=30.0)
        self.stem = keras.layers.Dense(width)
        self.hidden = [keras.layers.Dense(width) for _ in range(depth)]
        self.condition = [keras.layers.Dense(width) for _ in range(depth)]
        self.head = keras.layers.Dense(self.size, kernel_initializer="zeros")
        label = keras.KerasTensor((1,), "int32") if classes else None
        self(keras.KerasTensor((1, *shape)), keras.KerasTensor((1,)), label)  # creates every weight, computes nothing

    def build(self, *shapes: Any) -> None:
        """Nothing to do: the first, symbolic call in the constructor creates the weights."""
        self.built = True

    def call(self, x: Any, t: Any, label: Any = None, training: bool = False) -> Any:
        """Map x (n, *shape), t (n,) and label (n,) to (n, *shape)."""
        e = ops.silu(self.embedding(t, label))
        y = self.stem(ops.reshape(x, (-1, self.size)))
        for hidden, condition in zip(self.hidden, self.condition, strict=True):
            y = y + hidden(ops.silu(y + condition(e)))
        return ops.reshape(self.head(ops.silu(y)), (-1, *self.sample_shape))


class OwnDenoiser(keras.Model):
    """The user's network behind the family's signature.

    Args:
        network: a Keras model of [x, t] or [x, t, label]: x (n, *spec.shape) float32, t (n, 1) float32 in [0, 1],
            label (n, 1) int32 in 0 … classes (the last means "none"). It returns (n, *spec.shape).
        spec: what one sample is.

    Raises:
        ConfigError: it takes other inputs, or returns another shape.
    """

    def __init__(self, network: keras.Layer, spec: DataSpec) -> None:
        super().__init__()
        self.network = network
        inputs = getattr(network, "inputs", None)
        if not inputs or len(inputs) not in (2, 3):
            raise ConfigError(
                f"A denoiser takes [x, t] or [x, t, label], got a network with {len(inputs or ())} inputs.",
                mend="Build it with keras.Model([x, t], output).",
            )
        self.takes_label = len(inputs) == 3
        _check_labels(self.takes_label, spec)
        wanted = [tuple(spec.shape), (1,), (1,)][: len(inputs)]
        for name, tensor, shape in zip(("x", "t", "label"), inputs, wanted, strict=False):
            if not _fits(tuple(tensor.shape[1:]), shape):
                raise ConfigError(
                    f"The denoiser's input {name} has the shape {tuple(tensor.shape[1:])}, samples need {shape}.",
                    mend=f"Give it keras.Input({shape}).",
                )
        output = tuple(network.outputs[0].shape[1:])
        if not _fits(output, tuple(spec.shape)):
            raise ConfigError(f"The denoiser returns the shape {output}; it must return {tuple(spec.shape)}, like x.")
        self.built = True

    def call(self, x: Any, t: Any, label: Any = None, training: bool = False) -> Any:
        """Map x (n, *shape), t (n,) and label (n,) to (n, *shape)."""
        inputs = [x, t[:, None]] + ([label[:, None]] if self.takes_label else [])
        return self.network(inputs, training=training)


def _check_labels(takes_label: bool, spec: DataSpec) -> None:
    if takes_label and not spec.classes:
        raise ConfigError("The denoiser takes a label, but the data has no classes.", mend="Build it of [x, t].")


def _fits(found: tuple[int | None, ...], wanted: tuple[int, ...]) -> bool:
    return len(found) == len(wanted) and all(f is None or f == w for f, w in zip(found, wanted, strict=True))
