"""The objective: a sum of weighted terms of one pass through encoder and decoder.

A new term is a function of a `Pass` and a line in `VAE.objective`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras import ops

from genloom_vae.posteriors import Q

__all__ = ["Pass", "Term", "means", "tiled", "total"]


@dataclasses.dataclass(frozen=True)
class Pass:
    """What one pass of a batch through the model gave.

    Attributes:
        x: normalised samples (n, *shape), those to be reconstructed.
        labels: one-hot (n, classes), or None.
        q: q(z|x).
        z: its draw (n, d).
        log_q: log q(z|x) of it (n,) in nats.
        output: what the decoder gave for z.
        seen: 1 where a value of x is known, 0 where it is missing, of x's shape; None where all are known.
    """

    x: Any
    labels: Any
    q: Q
    z: Any
    log_q: Any
    output: Any
    seen: Any = None


@dataclasses.dataclass(frozen=True)
class Term:
    """One term of the objective.

    Attributes:
        name: what it is logged as.
        value: of a pass: (n,), one number per sample in nats, or () where only a batch has it.
        weight: its factor in the loss.
        ramp: training step → the share of the weight that counts then; None means all of it, always.
    """

    name: str
    value: Callable[[Pass], Any]
    weight: float = 1.0
    ramp: Callable[[Any], Any] | None = None


def tiled(x: Any, k: int) -> Any:
    """Return a batch k times, the whole batch after itself: (n, …) → (k n, …)."""
    return ops.tile(x, (k, *[1] * (len(x.shape) - 1)))


def total(terms: Sequence[Term], values: Mapping[str, Any], step: Any = None) -> Any:
    """Return the weighted sum of the terms' values: with the ramps at a training step, at full weight without one."""
    parts = []
    for term in terms:
        weighted = values[term.name] if term.weight == 1.0 else term.weight * values[term.name]
        parts.append(weighted if term.ramp is None or step is None else term.ramp(step) * weighted)
    return sum(parts[1:], parts[0])


def means(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return each term's mean over the batch."""
    return {name: ops.mean(value) for name, value in values.items()}
