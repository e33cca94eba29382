"""Learned prompts: what stands before every text, as keys and values that its tokens attend to.

Tokens never change what stands before them, so a prompt of vectors is, layer by layer, the keys and values that it
leaves behind; a prefix learns those themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from genloom.errors import ConfigError

if TYPE_CHECKING:
    from genloom_language.blocks import Block

__all__ = ["Memory", "Prefix", "SoftPrompt", "new_prompt"]

#: Keys and values of one layer, each (1, vectors, kv_heads, size).
Memory = tuple[Any, Any]


class SoftPrompt(keras.layers.Layer):
    """Learned input vectors (Lester et al. 2021); they stand at positions -vectors to -1 and have no learned position.

    Args:
        start: float32 (vectors, width), what they are at first.
    """

    kind = "soft"

    def __init__(self, start: np.ndarray[Any, Any]) -> None:
        super().__init__()
        self.vectors = len(start)
        self.inputs = self.add_weight(shape=start.shape, initializer="zeros", name="inputs")
        self.inputs.assign(start)
        self.built = True

    def memory(self, blocks: Sequence[Block]) -> list[Memory]:
        """Return what each layer's tokens attend to before the text."""
        hidden = ops.cast(self.inputs, blocks[0].compute_dtype)[None]
        position = ops.arange(-self.vectors, 0, dtype="int32")[None]
        found = []
        for block in blocks:
            hidden, memory = block.call_with_kv(hidden, position)
            found.append(memory)
        return found


class Prefix(keras.layers.Layer):
    """Learned keys and values of every layer (Li and Liang 2021), without the network that the authors train them by.

    Args:
        start: what they are at first.
    """

    kind = "prefix"

    def __init__(self, start: Sequence[Memory]) -> None:
        super().__init__()
        self.vectors = int(start[0][0].shape[1])
        self.pairs = [
            tuple(self._weight(f"{name}_{i}", part) for name, part in zip(("keys", "values"), pair, strict=True))
            for i, pair in enumerate(start)
        ]
        self.built = True

    def _weight(self, name: str, start: Any) -> Any:
        weight = self.add_weight(shape=tuple(start.shape), initializer="zeros", name=name)
        weight.assign(np.asarray(ops.convert_to_numpy(start), np.float32))
        return weight

    def memory(self, blocks: Sequence[Block]) -> list[Memory]:
        """Return what each layer's tokens attend to before the text."""
        kind = blocks[0].compute_dtype
        return [(ops.cast(keys, kind), ops.cast(values, kind)) for keys, values in self.pairs]


def new_prompt(kind: str, vectors: int, seed: int, embedding: Any, blocks: Sequence[Block]) -> Any:
    """Return a prompt that begins as the vectors of tokens drawn by a seed, or as what they leave behind.

    Args:
        kind: "soft" or "prefix".
        vectors: how many.
        seed: of the tokens.
        embedding: float32 (vocabulary, width).
        blocks: the model's.

    Raises:
        ConfigError: another kind.
    """
    if kind not in ("soft", "prefix"):
        raise ConfigError(f"There is no prompt of kind {kind!r}.", mend="Use soft or prefix.")
    table = np.asarray(ops.convert_to_numpy(embedding))
    soft = SoftPrompt(table[np.random.default_rng(seed).integers(0, len(table), vectors)].astype(np.float32))
    return soft if kind == "soft" else Prefix(soft.memory(blocks))
