"""One training step over all phases: fresh slices, gradients, accumulation, and the order of the updates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras import ops

from genloom import backend
from genloom.arguments import whole
from genloom.errors import ConfigError, nearest
from genloom.model.phase import Phase
from genloom.model.promises import check_changed, check_loss
from genloom.options import LARGEST_WHOLE

__all__ = ["Update"]

_RULES = ("alternating", "simultaneous")
_LEAST = 1e-30  # of a sum that divides: parts that all weigh nothing move nothing


class Update:
    """The update of every phase on one batch.

    Args:
        model: the model, whose `optimizer` moves each phase's variables.
        phases: the phases in order.
        rule: "alternating" or "simultaneous".
        accumulate: parts a phase's slice is split into.

    Raises:
        ConfigError: an unknown rule, a non-positive number of parts.
    """

    def __init__(self, model: Any, phases: Sequence[Phase], rule: str, accumulate: int) -> None:
        if rule not in _RULES:
            raise ConfigError(f"update must be one of {_RULES}, got {rule!r}.{nearest(rule, _RULES)}")
        accumulate = whole("accumulate", accumulate, 1, LARGEST_WHOLE)
        self.model, self.phases, self.rule, self.accumulate = model, list(phases), rule, accumulate
        self.slices = max(phase.repeats for phase in phases)
        self.losses = {p.name: "loss" if len(phases) == 1 else f"{p.name}_loss" for p in phases}
        self.names = [name for p in phases for name in (self.losses[p.name], *p.metrics)]

    def phase_of(self, name: str) -> str | None:
        """Return the phase that logs a number, None for one that no phase logs."""
        return next((p.name for p in self.phases if name in (self.losses[p.name], *p.metrics)), None)

    def __call__(self, batch: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Run all phases; return name → (value, weight) for each logged number."""
        values: dict[str, tuple[Any, Any]] = {}
        if self.rule == "simultaneous":
            taken = [self._gradients(phase, batch, 0) for phase in self.phases]
            for phase, (gradients, logged) in zip(self.phases, taken, strict=True):
                self.model.optimizer.apply_phase(phase.name, gradients)
                values.update(logged)
            return values
        for phase in self.phases:
            values.update(self._when_due(phase, batch))
        return values

    def _when_due(self, phase: Phase, batch: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Run a phase, and on steps where it is not due put everything back that it moved."""
        if phase.every == 1:
            return self._repeat(phase, batch)
        due = ops.equal(self.model.step.value % phase.every, 0)
        touched = [*self.model.variables, *self.model.optimizer.variables]
        before = [ops.copy(v.value) for v in touched]
        logged = self._repeat(phase, batch)
        for variable, old in zip(touched, before, strict=True):
            variable.assign(ops.where(due, variable.value, old))
        return {name: (value, weight * ops.cast(due, "float32")) for name, (value, weight) in logged.items()}

    def _repeat(self, phase: Phase, batch: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        logged: dict[str, tuple[Any, Any]] = {}
        for repeat in range(phase.repeats):
            gradients, logged = self._gradients(phase, batch, repeat)
            self.model.optimizer.apply_phase(phase.name, gradients)
        return logged

    def _gradients(self, phase: Phase, batch: dict[str, Any], repeat: int) -> tuple[list[Any], dict[str, Any]]:
        """Return gradients and logged values of one slice, averaged over its parts by their weights."""
        parts = self._parts(batch, repeat)
        gradients, logged = self._averaged(phase, parts)
        if phase.change is not None:
            changed = phase.change(
                gradients, lambda loss: self._averaged(dataclasses.replace(phase, loss=loss), parts)[0]
            )
            gradients = check_changed(phase, gradients, changed)
        return gradients, logged

    def _averaged(self, phase: Phase, parts: list[dict[str, Any]]) -> tuple[list[Any], dict[str, Any]]:
        results = [self._differentiate(phase, part) for part in parts]
        if len(results) == 1:
            return results[0][0], results[0][1]
        weights = [weight for _, _, weight in results]
        total = sum(weights[1:], weights[0])
        shares = [weight / ops.maximum(total, _LEAST) for weight in weights]
        gradients = [
            sum((g * s for g, s in zip(column[1:], shares[1:], strict=True)), column[0] * shares[0])
            for column in zip(*(g for g, _, _ in results), strict=True)
        ]
        logged = {}
        for name in results[0][1]:
            mean = sum(logs[name][0] * s for (_, logs, _), s in zip(results, shares, strict=True))
            logged[name] = (mean, total)
        return gradients, logged

    def _differentiate(self, phase: Phase, part: dict[str, Any]) -> tuple[list[Any], dict[str, Any], Any]:
        def loss() -> tuple[Any, Any]:
            mean, metrics, weight = check_loss(phase, phase.loss(part))
            return ops.cast(mean, "float32"), (metrics, weight)

        variables = self.model.optimizer.phase_variables[phase.name]
        (mean, (metrics, weight)), gradients = backend.value_and_grad(loss, variables)
        weight = ops.cast(weight, "float32")
        logged = {self.losses[phase.name]: mean, **{k: ops.cast(v, "float32") for k, v in metrics.items()}}
        return gradients, {name: (value, weight) for name, value in logged.items()}, weight

    def _parts(self, batch: dict[str, Any], repeat: int) -> list[dict[str, Any]]:
        """Cut the real slice of one repeat, then its parts for accumulation."""
        rows = int(next(iter(batch.values())).shape[0])
        if rows % (self.slices * self.accumulate):
            raise ConfigError(
                f"A batch of {rows} rows cannot be cut into {self.slices} slices (the largest `repeats`) "
                f"of {self.accumulate} parts (accumulate).",
                mend=f"Let accumulate={self.accumulate} divide batch_size; fit takes batch_size × {self.slices} rows.",
            )
        size = rows // (self.slices * self.accumulate)
        starts = [(repeat * self.accumulate + part) * size for part in range(self.accumulate)]
        return [{name: array[start : start + size] for name, array in batch.items()} for start in starts]
