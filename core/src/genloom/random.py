"""Counter-based random numbers: the same seed gives the same numbers on every backend.

Threefry-2x32-20 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011) in int32 lanes, written with
functions that `keras.ops` and NumPy share. Sampling, validation and initialisers always use it; training noise does
under `noise="portable"` and otherwise draws from the backend's own generator, keyed by (seed, step, draw).
"""

from __future__ import annotations

import contextlib
import contextvars
import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from keras import ops

from genloom import backend

__all__ = ["NoiseStream", "ambient", "categorical", "fold", "keys", "normal", "threefry", "training_noise", "uniform"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA

# The second counter word says what a block is used for, so that folding and drawing never share a block.
_KEY, _FOLD, _BITS = 0, 1, 2


def _rotate_left(x: Any, bits: int, xp: Any) -> Any:
    # A right shift of int32 copies the sign bit, so the copies are masked away.
    return xp.bitwise_or(
        xp.left_shift(x, bits), xp.bitwise_and(xp.right_shift(x, 32 - bits), np.int32((1 << bits) - 1))
    )


def threefry(key: tuple[Any, Any], counter: tuple[Any, Any], xp: Any = ops) -> tuple[Any, Any]:
    """Encrypt counters under keys with the 20-round Threefry-2x32 block function.

    Args:
        key: two int32 arrays, broadcastable with the counters.
        counter: two int32 arrays.
        xp: `keras.ops` (default) or `numpy`; both give the same bits.

    Returns:
        Two int32 arrays of the broadcast shape. Source: Salmon et al. 2011; vectors from Random123.
    """
    k0, k1 = key
    ks = (k0, k1, xp.bitwise_xor(xp.bitwise_xor(k0, k1), np.int32(_PARITY)))
    # `+`, not `ops.add`: on TensorFlow the latter takes (m, n) + (n, 1) for a bias and adds along the wrong axis.
    x0, x1 = counter[0] + ks[0], counter[1] + ks[1]
    for group in range(5):
        for bits in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = xp.bitwise_xor(_rotate_left(x1, bits, xp), x0)
        x0 = x0 + ks[(group + 1) % 3]
        x1 = x1 + ks[(group + 2) % 3] + np.int32(group + 1)
    return x0, x1


def _word(value: int) -> int:
    """Return the low 32 bits of `value` as a signed integer."""
    return ((int(value) & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def _seed_words(seed: int) -> tuple[Any, Any]:
    return np.array([_word(seed)], "int32"), np.array([_word(seed >> 32)], "int32")


def keys(seed: int, n: int | Any, offset: int = 0, domain: str = "") -> Any:
    """Return one key per sample.

    Args:
        seed: any Python integer; 64 bits are used.
        n: number of keys, or an int32 array (n,) of sample numbers.
        offset: number of the first sample, so that a later chunk continues the sequence.
        domain: separates uses of one seed ("" for samples, "validation" for held-out losses).

    Returns:
        int32 tensor (n, 2); row i depends on (seed, domain, offset + i) only.
    """
    index = np.arange(offset, offset + n, dtype="int32") if isinstance(n, int) else ops.cast(n, "int32")
    k0, k1 = _seed_words(seed ^ zlib.crc32(domain.encode()) if domain else seed)
    index = ops.convert_to_tensor(index)
    x0, x1 = threefry((ops.convert_to_tensor(k0), ops.convert_to_tensor(k1)), (index, ops.zeros_like(index) + _KEY))
    return ops.stack([x0, x1], axis=-1)  # (n, 2)


def fold(keys: Any, t: Any) -> Any:
    """Derive new keys (n, 2) for step or purpose `t`, an integer or an int32 scalar tensor."""
    k0, k1 = keys[:, 0], keys[:, 1]
    t = ops.broadcast_to(ops.cast(t, "int32"), ops.shape(k0))
    x0, x1 = threefry((k0, k1), (t, ops.zeros_like(k0) + _FOLD))
    return ops.stack([x0, x1], axis=-1)


def _blocks(keys: Any, count: int) -> tuple[Any, Any]:
    """Return two int32 tensors (n, count) of random bits."""
    counter = ops.convert_to_tensor(np.arange(count, dtype="int32")[None])
    return threefry((keys[:, 0:1], keys[:, 1:2]), (counter, ops.zeros_like(counter) + _BITS))


def _unit(bits: Any) -> Any:
    """Map int32 bits to float32 in the open interval (0, 1), on a grid of 2^-24."""
    top = ops.bitwise_and(ops.right_shift(bits, 8), np.int32(0xFFFFFF))
    # The largest of them plus a half is rounded to 2^24.
    return ops.minimum((ops.cast(top, "float32") + 0.5) * np.float32(2.0**-24), np.float32(1.0 - 2.0**-24))


def uniform(keys: Any, shape: Sequence[int] = ()) -> Any:
    """Draw float32 uniforms in (0, 1) of shape (n, *shape), one stream per key."""
    size = math.prod(shape)
    pair = ops.concatenate([_unit(bits) for bits in _blocks(keys, (size + 1) // 2)], axis=1)
    return ops.reshape(pair[:, :size], (-1, *shape))


def normal(keys: Any, shape: Sequence[int] = ()) -> Any:
    """Draw float32 standard normals of shape (n, *shape), one stream per key (Box and Muller 1958)."""
    size = math.prod(shape)
    u1, u2 = (_unit(bits) for bits in _blocks(keys, (size + 1) // 2))
    radius, angle = ops.sqrt(-2.0 * ops.log(u1)), np.float32(2 * math.pi) * u2
    pair = ops.concatenate([radius * ops.cos(angle), radius * ops.sin(angle)], axis=1)
    return ops.reshape(pair[:, :size], (-1, *shape))


def categorical(keys: Any, logits: Any) -> Any:
    """Draw one int32 class per key by the Gumbel-max trick.

    Args:
        keys: int32 (n, 2).
        logits: (n, classes) or (classes,), unnormalised log-probabilities.
    """
    logits = ops.convert_to_tensor(logits)
    u = uniform(keys, (int(logits.shape[-1]),))
    return ops.cast(ops.argmax(logits - ops.log(-ops.log(u)), axis=-1), "int32")


class NoiseStream:
    """The training noise of one step: draw k of step s of seed z is always the same numbers.

    Args:
        seed: seed of the training noise.
        step: int32 scalar tensor, the saved counter that keys every draw.
        mode: "native" draws from the backend's own generator (fastest); "portable" from Threefry, so that
            losses agree across backends.
        domain: separates uses of one seed, in the mode "portable".
    """

    def __init__(self, seed: int, step: Any, mode: Literal["native", "portable"], *, domain: str = "training") -> None:
        self.seed, self.step, self.mode, self.domain, self.draws = seed, step, mode, domain, 0

    def _portable_keys(self, n: int) -> Any:
        return fold(fold(keys(self.seed, n, domain=self.domain), self.step), self.draws)

    def normal(self, shape: Sequence[int], dtype: str = "float32") -> Any:
        """Draw standard normals of `shape`."""
        self.draws += 1
        if self.mode == "portable":
            return ops.cast(normal(self._portable_keys(shape[0]), shape[1:]), dtype)
        return backend.native_normal(self.seed, self.step, self.draws, tuple(shape), dtype)

    def uniform(self, shape: Sequence[int], dtype: str = "float32") -> Any:
        """Draw uniforms in [0, 1) of `shape`."""
        self.draws += 1
        if self.mode == "portable":
            return ops.cast(uniform(self._portable_keys(shape[0]), shape[1:]), dtype)
        return backend.native_uniform(self.seed, self.step, self.draws, tuple(shape), dtype)


_AMBIENT: contextvars.ContextVar[NoiseStream | None] = contextvars.ContextVar("genloom_noise", default=None)


@contextlib.contextmanager
def training_noise(stream: NoiseStream) -> Iterator[NoiseStream]:
    """Make `stream` the one that layers such as `genloom.layers.Dropout` draw from."""
    token = _AMBIENT.set(stream)
    try:
        yield stream
    finally:
        _AMBIENT.reset(token)


def ambient() -> NoiseStream | None:
    """Return the stream of the training step that is running, or None outside one."""
    return _AMBIENT.get()
