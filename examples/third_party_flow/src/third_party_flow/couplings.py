"""Coupling layers: half of the values decide how the other half is moved, so both directions cost one pass.

Both transforms map data to noise by `forward` and noise to data by `inverse`; each returns the moved values and the
log of the absolute derivative, per value.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["AffineTransform", "Coupling", "SplineTransform"]


class AffineTransform:
    """y = x exp(s) + t with s = c tanh(r / c) (Dinh et al. 2017, equations 7 and 8).

    Args:
        stretch: c, the largest |s|.
    """

    parameters = 2

    def __init__(self, stretch: float) -> None:
        self.stretch = stretch

    def forward(self, x: Any, parameters: Any) -> tuple[Any, Any]:
        """Map x (n, d) by parameters (n, d, 2)."""
        s, t = self._scale_and_shift(parameters)
        return x * ops.exp(s) + t, s

    def inverse(self, y: Any, parameters: Any) -> tuple[Any, Any]:
        """Undo `forward`."""
        s, t = self._scale_and_shift(parameters)
        return (y - t) * ops.exp(-s), -s

    def _scale_and_shift(self, parameters: Any) -> tuple[Any, Any]:
        return self.stretch * ops.tanh(parameters[..., 0] / self.stretch), parameters[..., 1]


class SplineTransform:
    """A monotone rational-quadratic spline on [-B, B], the identity outside (Durkan et al. 2019, section 3.1).

    Args:
        bins: K, pieces of the spline.
        bound: B.
    """

    smallest = 1e-3
    """Least share of the width and height of a bin, and least derivative at a knot."""

    def __init__(self, bins: int, bound: float) -> None:
        self.bins, self.bound = bins, bound
        self.parameters = 3 * bins - 1

    def forward(self, x: Any, parameters: Any) -> tuple[Any, Any]:
        """Map x (n, d) by parameters (n, d, 3K - 1): widths, heights, and derivatives at the K - 1 inner knots."""
        inside = ops.clip(x, -self.bound, self.bound)
        knots = self._knots(parameters)
        x_k, w, y_k, h, d_k, d_next = self._bin(inside, knots, knots[0])
        theta, slope = (inside - x_k) / w, h / w
        mixed = theta * (1.0 - theta)
        bottom = slope + (d_next + d_k - 2.0 * slope) * mixed
        y = y_k + h * (slope * ops.square(theta) + d_k * mixed) / bottom  # equation 4
        return self._outside_unchanged(x, y, _log_derivative(theta, slope, d_k, d_next))

    def inverse(self, y: Any, parameters: Any) -> tuple[Any, Any]:
        """Undo `forward`, by the root of a quadratic (equations 6 to 8)."""
        inside = ops.clip(y, -self.bound, self.bound)
        knots = self._knots(parameters)
        x_k, w, y_k, h, d_k, d_next = self._bin(inside, knots, knots[2])
        slope, rise = h / w, inside - y_k
        curve = rise * (d_next + d_k - 2.0 * slope)
        a, b, c = h * (slope - d_k) + curve, h * d_k - curve, -slope * rise
        root = ops.sqrt(ops.maximum(ops.square(b) - 4.0 * a * c, 0.0))
        theta = 2.0 * c / (-b - root)
        return self._outside_unchanged(y, x_k + w * theta, -_log_derivative(theta, slope, d_k, d_next))

    def _knots(self, parameters: Any) -> tuple[Any, ...]:
        """Return left ends and widths, bottoms and heights, and derivatives at both ends, of every bin (n, d, K)."""
        k = self.bins
        left, width = self._pieces(parameters[..., :k])
        bottom, height = self._pieces(parameters[..., k : 2 * k])
        # Zero parameters mean the derivative 1, and so the identity.
        shift = math.log(math.expm1(1.0 - self.smallest))
        inner = self.smallest + ops.softplus(parameters[..., 2 * k :] + shift)
        end = ops.ones_like(inner[..., :1])  # as outside, where the spline is the identity
        derivative = ops.concatenate([end, inner, end], axis=-1)
        return left, width, bottom, height, derivative[..., :-1], derivative[..., 1:]

    def _pieces(self, logits: Any) -> tuple[Any, Any]:
        share = self.smallest + (1.0 - self.smallest * self.bins) * ops.softmax(logits, axis=-1)
        size = 2.0 * self.bound * share
        return ops.cumsum(size, axis=-1) - size - self.bound, size

    def _bin(self, value: Any, knots: tuple[Any, ...], starts: Any) -> list[Any]:
        """Return the six numbers of the bin that each value lies in (n, d)."""
        number = ops.sum(ops.cast(value[..., None] >= starts, "int32"), axis=-1) - 1
        chosen = ops.equal(ops.maximum(number, 0)[..., None], ops.arange(self.bins, dtype="int32"))
        return [ops.sum(ops.where(chosen, part, ops.zeros_like(part)), axis=-1) for part in knots]

    def _outside_unchanged(self, given: Any, moved: Any, log_derivative: Any) -> tuple[Any, Any]:
        inside = ops.less_equal(ops.abs(given), self.bound)
        return ops.where(inside, moved, given), ops.where(inside, log_derivative, ops.zeros_like(log_derivative))


def _log_derivative(theta: Any, slope: Any, d_k: Any, d_next: Any) -> Any:
    """Return log dy/dx (equation 5)."""
    mixed = theta * (1.0 - theta)
    top = d_next * ops.square(theta) + 2.0 * slope * mixed + d_k * ops.square(1.0 - theta)
    bottom = slope + (d_next + d_k - 2.0 * slope) * mixed
    return 2.0 * ops.log(slope) + ops.log(top) - 2.0 * ops.log(bottom)


class Coupling(keras.layers.Layer):
    """Move one half of the values by a transform that the other half decides.

    Args:
        size: values of one sample, at least 2.
        index: number of the layer. Two layers in a row share a split and change roles; every pair splits otherwise.
        hidden: units of the two layers of the network.
        transform: `AffineTransform` or `SplineTransform`.
    """

    def __init__(self, size: int, index: int, hidden: int, transform: Any) -> None:
        super().__init__(name=f"coupling_{index}")
        order = np.arange(size) if index < 2 else np.random.default_rng(index // 2).permutation(size)
        half = size // 2
        halves = (order[:half], order[half:])
        self.kept, self.moved = halves if index % 2 == 0 else halves[::-1]
        self.back = np.argsort(np.concatenate([self.kept, self.moved]))
        self.transform = transform
        self.network = keras.Sequential(
            [
                keras.layers.Input((len(self.kept),)),
                keras.layers.Dense(hidden, activation="relu"),
                keras.layers.Dense(hidden, activation="relu"),
                # Zeros: the flow begins as the identity.
                keras.layers.Dense(len(self.moved) * transform.parameters, kernel_initializer="zeros"),
            ]
        )
        self.built = True

    def forward(self, x: Any) -> tuple[Any, Any]:
        """Map x (n, size) towards noise; the second result is log |det| (n,)."""
        return self._apply(x, self.transform.forward)

    def inverse(self, y: Any) -> tuple[Any, Any]:
        """Undo `forward`."""
        return self._apply(y, self.transform.inverse)

    def _apply(self, x: Any, function: Any) -> tuple[Any, Any]:
        kept, moved = ops.take(x, self.kept, axis=1), ops.take(x, self.moved, axis=1)
        shape = (-1, len(self.moved), self.transform.parameters)
        moved, log_derivative = function(moved, ops.reshape(self.network(kept), shape))
        together = ops.take(ops.concatenate([kept, moved], axis=1), self.back, axis=1)
        return together, ops.sum(log_derivative, axis=1)
