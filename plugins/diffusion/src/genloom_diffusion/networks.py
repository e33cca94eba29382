"""The denoisers: a U-Net for what has places, a dense residual network for vectors, or the caller's own."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from genloom import DataSpec
from genloom.layers import ResidualMLP, UNet
from genloom.model.networks import one_hot, run_network
from genloom_diffusion.options import DiffusionOptions

__all__ = ["OwnDenoiser", "denoiser_for"]


def denoiser_for(spec: DataSpec, options: DiffusionOptions, classes: int, times: int = 1) -> keras.Model:
    """Return a network `(x, t, label=None)` -> like x, for x (n, *spec.shape) and t (n,) or (n, times) in [0, 1]."""
    if len(spec.shape) == 1:
        return ResidualMLP(spec.shape, options.width, options.depth, classes, times)
    return UNet(
        spec.shape, options.channels, options.blocks, options.attention, options.embedding, classes,
        options.patch, options.dropout, options.heads, times, options.frequency,
    )  # fmt: skip


class OwnDenoiser(keras.Model):
    """The caller's network of [x, t] or [x, t, labels] behind the family's signature.

    Args:
        network: maps x (n, *shape), t (n, times) in [0, 1] and one-hot labels (n, classes), zeros for "none", to x's
            shape.
        classes: number of labels, 0 for none.
        times: how many times it is given.
    """

    def __init__(self, network: keras.Layer, classes: int, times: int = 1) -> None:
        super().__init__()
        self.network, self.classes, self.times = network, classes, times
        self.built = True

    def call(self, x: Any, t: Any, label: Any = None, training: bool = False) -> Any:
        """Map x (n, *shape), t (n,) or (n, times) and label (n,) in 0 … classes to (n, *shape)."""
        labels = None if label is None else one_hot(label, self.classes)
        return run_network(self.network, x, ops.reshape(t, (-1, self.times)), labels=labels, training=training)
