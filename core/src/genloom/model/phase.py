"""One update phase of a model: which variables move, along which loss, how often."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from genloom.errors import PluginError

__all__ = ["Loss", "Phase"]

#: Batch → (mean, metrics, weight).
Loss = Callable[[dict[str, Any]], tuple[Any, dict[str, Any], Any]]


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of a training step that moves some variables along one loss.

    Attributes:
        name: logged as `<name>_loss` when a model has several phases, as `loss` when it has one.
        variables: the Keras variables it moves, or a callable that returns them at `compile`.
        loss: `loss(batch) -> (mean, metrics, weight)`: a scalar to minimise, a dict of scalars whose names are
            declared in `metrics`, and the weight of this batch when several are averaged.
        metrics: names of the scalars that `loss` reports.
        repeats: updates of this phase in one step, each on its own slice of real data and fresh noise.
        every: run the phase only on steps divisible by this number.
        change: `change(gradients, along) -> gradients`, one array per variable: what the optimizer gets in place of
            the loss's gradients; `along(loss)` gives the gradients of another loss of the same batch.
    """

    name: str
    variables: Sequence[Any] | Callable[[], Sequence[Any]]
    loss: Loss
    metrics: tuple[str, ...] = ()
    repeats: int = 1
    every: int = 1
    change: Callable[[list[Any], Callable[[Loss], list[Any]]], list[Any]] | None = None

    def __post_init__(self) -> None:
        for name in ("repeats", "every"):
            if getattr(self, name) < 1:
                raise PluginError(f"Phase {self.name!r} has {name}={getattr(self, name)}; it must be at least 1.")

    def resolve(self) -> list[Any]:
        """Return the variables as they are now, trainable ones only."""
        found = self.variables() if callable(self.variables) else self.variables
        return [v for v in found if v.trainable]
