"""Where a training begins as a place to stay near, each weight as near as the old data need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from genloom import backend, random

if TYPE_CHECKING:
    from genloom import GenerativeModel, Phase
    from genloom.data import Split

__all__ = ["Anchor", "fisher"]


class Anchor(keras.layers.Layer):
    """θ₀ and F of some variables, kept with the checkpoint: ½ Σ F (θ - θ₀)².

    Args:
        variables: θ, whose values now are θ₀.
        importance: F of each, or None for 1.
    """

    def __init__(self, variables: Sequence[Any], importance: Sequence[Any] | None = None) -> None:
        super().__init__(trainable=False)  # its variables are constants, which no average need hold
        # Behind a function, and so hidden from Keras: they are the model's, not the anchor's.
        self._anchored: Callable[[], Sequence[Any]] = lambda: variables
        self.start = [self._kept(f"start_{i:04d}", v, v) for i, v in enumerate(variables)]
        self.importance: list[Any] | None = None
        if importance is not None:
            pairs = zip(variables, importance, strict=True)
            self.importance = [self._kept(f"importance_{i:04d}", v, f) for i, (v, f) in enumerate(pairs)]
        self.built = True

    def _kept(self, name: str, like: Any, value: Any) -> Any:
        kept = self.add_weight(shape=tuple(like.shape), dtype="float32", trainable=False, name=name)
        # By way of NumPy: on JAX the two would share a buffer, which a training step gives away.
        kept.assign(np.broadcast_to(np.asarray(ops.convert_to_numpy(value), np.float32), tuple(like.shape)))
        return kept

    def penalty(self) -> Any:
        """Return ½ Σ F (θ - θ₀)², a float32 scalar."""
        total: Any = 0.0
        for i, variable in enumerate(self._anchored()):
            square = ops.square(ops.cast(variable.value, "float32") - self.start[i])
            total = total + ops.sum(square if self.importance is None else self.importance[i] * square)
        return 0.5 * total


def fisher(
    model: GenerativeModel, phase: Phase, splits: Sequence[Split], samples: int, seed: int = 0
) -> list[np.ndarray[Any, Any]]:
    """Return the mean over samples of (∂ -log p(x) / ∂θ)², the empirical Fisher information's diagonal.

    A phase's loss is a mean; times its weight it is the -log p of the one sample it is asked about. Each split gives
    as many samples.

    Args:
        model: with the weights at which it is measured.
        phase: whose loss, and variables θ.
        splits: old data.
        samples: how many in all, at least one of each split.
        seed: fixes which.

    Returns:
        float32 arrays of the shapes of the phase's variables.
    """
    variables = phase.resolve()

    def squares(batch: dict[str, Any], number: Any) -> list[Any]:
        def loss() -> tuple[Any, Any]:
            mean, _, weight = phase.loss(batch)
            return ops.cast(mean, "float32") * ops.cast(weight, "float32"), ()

        with random.training_noise(random.NoiseStream(seed, number, "portable")):  # others for each sample
            _, gradients = backend.value_and_grad(loss, variables)
        return [ops.square(ops.cast(gradient, "float32")) for gradient in gradients]

    compiled = backend.compiled(squares, model)
    totals = [np.zeros(tuple(v.shape), np.float64) for v in variables]
    each = max(1, samples // len(splits))
    count = 0
    for split in splits:
        for row in np.random.default_rng(seed).permutation(len(split))[:each]:
            found = compiled(split.take([row]), np.int32(count))
            totals = [total + ops.convert_to_numpy(square) for total, square in zip(totals, found, strict=True)]
            count += 1
    return [(total / count).astype(np.float32) for total in totals]
