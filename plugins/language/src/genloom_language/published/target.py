"""Where a published tensor belongs, in words that hold for reading and for writing."""

from __future__ import annotations

import dataclasses

from genloom_language.options import TransformerOptions

__all__ = ["HEAD", "POSITIONS", "Target", "head"]

#: Name of a published output layer; of a model whose output is tied, files lack it or repeat the embedding.
HEAD = "lm_head.weight"

#: Our name of the learned vectors of positions.
POSITIONS = "position_embedding/embeddings"


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a published tensor belongs.

    Attributes:
        ours: names of our weights, which it holds side by side along the last axis.
        shape: of the published tensor.
        turned: whether it is the transpose, (outputs, inputs).
    """

    ours: tuple[str, ...]
    shape: tuple[int, ...]
    turned: bool = False


def head(o: TransformerOptions, vocabulary: int) -> dict[str, Target]:
    """Return the target of an output layer of its own; none where it is the embedding's transpose."""
    return {} if o.tied else {HEAD: Target(("out/kernel",), (vocabulary, o.width), turned=True)}
