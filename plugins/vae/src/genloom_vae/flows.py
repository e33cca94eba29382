"""Invertible maps with known volume: what flow posteriors and flow priors are made of."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from genloom.model.networks import full_precision

__all__ = ["AutoregressiveStep", "Coupling"]

_KEEP = 1.5  # bias of the gate σ: each step begins near the identity (Kingma et al. 2016, §4)
_MOST = 2.0  # |log scale| of one coupling


class MaskedDense(keras.layers.Layer):
    """A dense layer whose kernel is multiplied by a fixed mask (in, out)."""

    def __init__(self, mask: np.ndarray[Any, Any]) -> None:
        super().__init__()
        self.mask = mask.astype("float32")
        self.kernel_initializer = keras.initializers.GlorotUniform()
        self.kernel = self.add_weight(shape=mask.shape, initializer=self.kernel_initializer, name="kernel")
        self.bias = self.add_weight(shape=mask.shape[1:], initializer="zeros", name="bias")
        self.built = True

    def call(self, x: Any) -> Any:
        """Return x (n, in) times the masked kernel, plus the bias."""
        return ops.matmul(x, self.kernel * ops.cast(self.mask, x.dtype)) + self.bias


class AutoregressiveStep(keras.layers.Layer):
    """One inverse autoregressive step, z ← σ z + (1 − σ) m (Kingma et al. 2016, eq. 14).

    Gate and shift of each dimension see those before it, and a context (Germain et al. 2015: masks of a dense network).

    Args:
        size: d.
        context: numbers of the context.
        hidden: width of the hidden layer.
    """

    def __init__(self, size: int, context: int, hidden: int) -> None:
        super().__init__()
        order, degree = np.arange(1, size + 1), np.arange(hidden) % max(1, size - 1) + 1
        seen = np.concatenate([order[:, None] <= degree, np.ones((context, hidden), bool)])
        self.inner = MaskedDense(seen)
        self.outer = MaskedDense(np.tile(degree[:, None] < order, (1, 2)))
        self.context = keras.layers.Dense(2 * size, kernel_initializer="zeros")
        self.context.build((None, context))
        self.built = True

    def call(self, z: Any, context: Any) -> tuple[Any, Any]:
        """Return the next z (n, d) and log |dz'/dz| (n,)."""
        inner = ops.silu(self.inner(ops.concatenate([z, context], axis=-1)))
        gate, shift = ops.split(full_precision(self.outer(inner) + self.context(context)), 2, axis=-1)
        log_gate = ops.log_sigmoid(gate + _KEEP)
        gate = ops.exp(log_gate)
        return gate * z + (1.0 - gate) * shift, ops.sum(log_gate, axis=-1)


class Coupling(keras.layers.Layer):
    """One affine coupling: the second half of z is scaled and moved by what the first half says (Dinh et al. 2017).

    Args:
        size: d, 2 at least.
        classes: width of the one-hot labels that it sees too, 0 without.
        hidden: width of the hidden layer.
        turned: whether the halves exchange their roles.
    """

    def __init__(self, size: int, classes: int, hidden: int, turned: bool) -> None:
        super().__init__()
        self.cut, self.turned = size // 2, turned
        self.inner = keras.layers.Dense(hidden, activation="silu")
        self.outer = keras.layers.Dense(2 * (size - self.cut), kernel_initializer="zeros")
        self.inner.build((None, self.cut + classes))
        self.outer.build((None, hidden))
        self.built = True

    def forward(self, z: Any, labels: Any) -> tuple[Any, Any]:
        """Return z' (n, d) and log |dz'/dz| (n,)."""
        kept, moved = self._halves(z)
        log_scale, shift = self._map(kept, labels)
        return self._whole(kept, moved * ops.exp(log_scale) + shift), ops.sum(log_scale, axis=-1)

    def backward(self, z: Any, labels: Any) -> Any:
        """Return the z (n, d) that `forward` maps to this one."""
        kept, moved = self._halves(z)
        log_scale, shift = self._map(kept, labels)
        return self._whole(kept, (moved - shift) * ops.exp(-log_scale))

    def _map(self, kept: Any, labels: Any) -> tuple[Any, Any]:
        given = kept if labels is None else ops.concatenate([kept, labels], axis=-1)
        log_scale, shift = ops.split(full_precision(self.outer(self.inner(given))), 2, axis=-1)
        return _MOST * ops.tanh(log_scale / _MOST), shift

    def _halves(self, z: Any) -> tuple[Any, Any]:
        z = ops.flip(z, axis=-1) if self.turned else z
        return z[:, : self.cut], z[:, self.cut :]

    def _whole(self, kept: Any, moved: Any) -> Any:
        z = ops.concatenate([kept, moved], axis=-1)
        return ops.flip(z, axis=-1) if self.turned else z
