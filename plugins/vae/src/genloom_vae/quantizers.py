"""From vectors to codes and back: finite scalars (FSQ), or the nearest of learned vectors (VQ).

A code is one number or several, its digits. A quantizer has `levels`, how many values each digit has, and `width`, the
length of a vector. All is counted in whole numbers and compared in full precision, whatever networks compute in.
"""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar

import keras
from keras import ops

from genloom.errors import ConfigError
from genloom.model.networks import full_precision, one_hot
from genloom.objectives import per_sample

__all__ = ["FiniteScalars", "NearestVectors", "Quantizer", "spread_of"]

_MOST_CODES = 2**31 - 1  # a code's number is an int32
_LEAST = 1e-12  # of a count that divides


class Quantizer(keras.layers.Layer, abc.ABC):
    """What every quantizer answers.

    Args:
        levels: values of each digit of a code.
        width: length of a vector.

    Raises:
        ConfigError: more codes than whole numbers of 31 bits.
    """

    learned: ClassVar[bool] = False
    """Whether the vectors of codes are learned, and an encoder has to keep to them."""

    def __init__(self, levels: tuple[int, ...], width: int) -> None:
        super().__init__(dtype=keras.config.floatx())
        self.levels, self.width, self.codes = tuple(levels), width, math.prod(levels)
        if self.codes > _MOST_CODES:
            raise ConfigError(f"levels={levels} make {self.codes:.3g} codes.", mend=f"{_MOST_CODES} are the most.")
        self.built = True

    @abc.abstractmethod
    def nearest(self, vectors: Any) -> Any:
        """Return the digits int32 (…, digits) of the codes whose vectors are nearest to these (…, width)."""

    def digits(self, z: Any) -> Any:
        """Return the digits int32 (…, digits) of the codes of an encoder's vectors z (…, width)."""
        return self.nearest(self.bounded(z))

    @abc.abstractmethod
    def vectors(self, digits: Any) -> Any:
        """Return the vectors (…, width) of codes, given by their digits int32 (…, digits)."""

    @abc.abstractmethod
    def bounded(self, z: Any) -> Any:
        """Return an encoder's vectors (…, width) as they are compared with those of codes."""

    def passed(self, z: Any, digits: Any) -> Any:
        """Return the vectors of z's codes, `digits(z)`, with the gradient of `bounded(z)`: straight-through.

        Source: Bengio et al. 2013, §5; van den Oord et al. 2017, §3.2.
        """
        own = self.bounded(z)
        return own + ops.stop_gradient(self.vectors(digits) - own)

    def commitment(self, z: Any, digits: Any) -> Any:
        """Return what keeps an encoder to z's codes, `digits(z)`, per sample (n,); 0 where it cannot leave them."""
        return ops.zeros((int(z.shape[0]),), z.dtype)

    def learn(self, z: Any, uniform: Any) -> None:
        """Move what is learned without a gradient by an encoder's vectors (…, width), with uniform numbers (codes,)."""

    def index(self, digits: Any) -> Any:
        """Return the number int32 (…) of codes from digits (…, digits): mixed radix, the first digit counts least."""
        total = ops.zeros_like(digits[..., 0])
        for place, base in enumerate(self._bases()):
            total = total + digits[..., place] * base
        return total

    def digits_of(self, index: Any) -> Any:
        """Return the digits int32 (…, digits) of codes from their numbers int32 (…): the inverse of `index`."""
        index = ops.cast(index, "int32")
        pairs = zip(self._bases(), self.levels, strict=True)
        return ops.stack([ops.mod(ops.floor_divide(index, base), levels) for base, levels in pairs], axis=-1)

    def _bases(self) -> list[int]:
        return [math.prod(self.levels[:place]) for place in range(len(self.levels))]


class FiniteScalars(Quantizer):
    """FSQ (Mentzer et al. 2023): each channel, bounded by tanh, goes to the nearest of L values from −1 to 1.

    Digit = round((L − 1)(tanh z + 1)/2): for odd L the paper's ⌊L/2⌋ tanh z, for even L without its shift, so that both
    are symmetric. Nothing is listed by code, so memory does not grow with their number, and a gradient is at most 1.

    Args:
        levels: L of each channel.
    """

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__(levels, len(levels))

    def bounded(self, z: Any) -> Any:
        """Return tanh z."""
        return ops.tanh(full_precision(z))

    def nearest(self, vectors: Any) -> Any:
        """Return the digits int32 (…, channels) of the values nearest to these."""
        half = self._half()
        return ops.cast(ops.floor(ops.clip((vectors + 1.0) * half, 0.0, 2.0 * half) + 0.5), "int32")

    def vectors(self, digits: Any) -> Any:
        """Return the values in [-1, 1] (…, channels)."""
        return full_precision(digits) / self._half() - 1.0

    def _half(self) -> Any:
        return full_precision([0.5 * (levels - 1) for levels in self.levels])


class NearestVectors(Quantizer):
    """VQ (van den Oord et al. 2017): the nearest of `codes` vectors, which follow those that chose them.

    N_i ← γ N_i + (1 − γ) n_i, m_i ← γ m_i + (1 − γ) Σ z, e_i = m_i / N_i over the vectors z of a batch whose code is i
    (appendix A.1). A code chosen less than `restart` times as often as the mean starts anew at a vector of the batch
    (Dhariwal et al. 2020, §3.1).

    Args:
        codes: how many.
        width: length of each.
        decay: γ.
        restart: share of even use; 0 never restarts one.
        beta: β, the weight of the commitment.
    """

    learned: ClassVar[bool] = True

    def __init__(self, codes: int, width: int, decay: float = 0.99, restart: float = 0.1, beta: float = 0.25) -> None:
        super().__init__((codes,), width)
        self.decay, self.restart, self.beta = decay, restart, beta
        self.table_initializer = keras.initializers.RandomNormal(stddev=1.0)
        moving = {"trainable": False, "dtype": self.variable_dtype}
        self.table = self.add_weight(shape=(codes, width), initializer=self.table_initializer, name="table", **moving)
        self.counts = self.add_weight(shape=(codes,), initializer="zeros", name="counts", **moving)
        self.sums = self.add_weight(shape=(codes, width), initializer="zeros", name="sums", **moving)

    def bounded(self, z: Any) -> Any:
        """Return z."""
        return full_precision(z)

    def nearest(self, vectors: Any) -> Any:
        """Return argmin_i ‖z − e_i‖² int32 (…, 1), the first of equals."""
        table = ops.convert_to_tensor(self.table)
        distances = ops.sum(ops.square(table), axis=-1) - 2.0 * ops.matmul(vectors, ops.transpose(table))  # (…, codes)
        return ops.cast(ops.argmin(distances, axis=-1), "int32")[..., None]

    def vectors(self, digits: Any) -> Any:
        """Return e_i (…, width)."""
        return ops.take(self.table, digits[..., 0], axis=0)

    def commitment(self, z: Any, digits: Any) -> Any:
        """Return β ‖z − sg(e)‖² per sample (n,), summed over places (eq. 3, third term)."""
        return self.beta * per_sample(ops.square(z - ops.stop_gradient(self.vectors(digits))))

    def learn(self, z: Any, uniform: Any) -> None:
        """Move the codes by a batch of vectors z (…, width), and start unused ones anew."""
        z = ops.reshape(ops.stop_gradient(full_precision(z)), (-1, self.width))
        chosen = one_hot(self.digits(z)[..., 0], self.codes)  # (vectors, codes)
        counts = self.decay * self.counts + (1.0 - self.decay) * ops.sum(chosen, axis=0)
        sums = self.decay * self.sums + (1.0 - self.decay) * ops.matmul(ops.transpose(chosen), z)
        even = ops.mean(counts)
        anew = ops.less(counts, self.restart * even)
        start = ops.take(z, ops.cast(ops.floor(uniform * (int(z.shape[0]) - 1e-3)), "int32"), axis=0)
        counts = ops.where(anew, even, counts)
        sums = ops.where(anew[:, None], even * start, sums)
        used = ops.greater(counts, _LEAST)[:, None]
        means = sums / ops.maximum(counts, _LEAST)[:, None]
        self.table.assign(ops.where(used, means, ops.convert_to_tensor(self.table)))
        self.counts.assign(counts)
        self.sums.assign(sums)


def spread_of(index: Any, codes: int) -> tuple[Any, Any]:
    """Return usage and perplexity of a batch of codes int32 (…).

    Usage is the number of different codes over the most that there could be: `codes`, or the size of the batch.
    Perplexity is exp(−Σ p log p) over their shares p. Both by sorting, so that memory does not grow with `codes`.
    """
    index = ops.sort(ops.reshape(index, (-1,)))
    size = int(index.shape[0])
    different = 1.0 + ops.sum(full_precision(ops.not_equal(index[1:], index[:-1])))
    alike = ops.searchsorted(index, index, side="right") - ops.searchsorted(index, index, side="left")
    entropy = -ops.mean(ops.log(full_precision(alike) / size))
    return different / min(codes, size), ops.exp(entropy)
