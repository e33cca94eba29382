"""Measurements the kits share: losses at fixed noise and numerical derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from genloom import backend, random
from genloom.errors import GenLoomError
from genloom.phase import Phase

__all__ = ["Probe", "derivatives", "uncovered"]

_SHORTER = (1, 4, 16, 64)  # How many times a step is shortened in search of one that crosses no kink.


def uncovered(model: Any) -> list[str]:
    """Return the paths of trainable variables that no phase moves."""
    covered = {id(v) for phase in model.phases() for v in phase.resolve()}
    return [v.path for v in model.trainable_variables if id(v) not in covered]


class Probe:
    """One phase's loss, metrics and gradients at portable noise that never changes; whatever the loss writes is undone.

    Args:
        model: a built model.
        phase: one of its phases.
    """

    def __init__(self, model: Any, phase: Phase) -> None:
        self.model, self.phase, self.variables = model, phase, phase.resolve()
        self._compiled: Any = backend.compiled(self._evaluate, model)

    def _evaluate(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], list[Any]]:
        def loss() -> tuple[Any, Any]:
            step = ops.convert_to_tensor(np.int32(0))
            with random.training_noise(random.NoiseStream(0, step, "portable")):
                mean, metrics, _ = self.phase.loss(batch)
            return ops.cast(mean, "float32"), metrics

        (mean, metrics), gradients = backend.value_and_grad(loss, self.variables)
        return mean, metrics, gradients

    def __call__(self, batch: dict[str, np.ndarray]) -> tuple[float, dict[str, Any], list[np.ndarray]]:
        """Return the loss, its metrics by name, and one float64 gradient per variable of the phase."""
        tensors = {name: ops.convert_to_tensor(array) for name, array in batch.items()}
        mean, metrics, gradients = self._run(tensors)
        arrays = [np.asarray(ops.convert_to_numpy(g), "float64") for g in gradients]
        return float(ops.convert_to_numpy(mean)), metrics, arrays

    def _run(self, tensors: dict[str, Any]) -> Any:
        if self._compiled is not None:
            try:
                return self._compiled(tensors)
            except GenLoomError:
                self._compiled = None  # The loss writes to variables (batch statistics): run it plainly.
        kept = [ops.copy(v.value) for v in self.model.variables]
        result = self._evaluate(tensors)
        for variable, old in zip(self.model.variables, kept, strict=True):
            variable.assign(old)
        return result


def derivatives(
    probe: Probe, batch: dict[str, np.ndarray], limit: int = 8
) -> Iterator[tuple[str, float, float, float]]:
    """Yield (variable, derivative by the gradient, by central differences, scale) along a random direction in each.

    Args:
        probe: of the phase whose loss is differentiated.
        batch: rows of one slice.
        limit: variables looked at, spread evenly over all of the phase.
    """
    loss, _, gradients = probe(batch)
    whole = float(np.sqrt(sum((g**2).sum() for g in gradients)))
    size = abs(loss) + 0.1
    for i in np.unique(np.linspace(0, len(gradients) - 1, min(limit, len(gradients))).astype(int)):
        variable, gradient = probe.variables[i], gradients[i]
        direction = _direction(gradient, np.random.default_rng(int(i)))
        by_gradient = float((gradient * direction).sum())
        # A step that changes the loss by about half a percent: far above rounding, far below curvature.
        reach = 0.005 * size / max(float(np.linalg.norm(gradient)), 0.02 * whole, 1e-6)
        reach = min(reach, 0.05 * max(1.0, float(np.linalg.norm(ops.convert_to_numpy(variable.value)))))
        numerical = _nearest(by_gradient, (_central(probe, batch, variable, direction, reach / s) for s in _SHORTER))
        yield variable.path, by_gradient, numerical, max(whole, size)


def _nearest(by_gradient: float, differences: Iterator[float]) -> float:
    """Return the first difference that agrees with the gradient to one percent, or else the nearest of all.

    A rectifier has kinks, and the penalty on its gradient has jumps: a difference across one says nothing of the
    derivative, and a shorter step stays on this side of it. A wrong gradient agrees with none.
    """
    nearest = np.inf
    for difference in differences:
        if abs(difference - by_gradient) < abs(nearest - by_gradient):
            nearest = difference
        if abs(nearest - by_gradient) <= 0.01 * abs(nearest):
            break
    return nearest


def _direction(gradient: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half along the gradient, half at random: a part that the gradient misses must show as well."""
    random_part = rng.standard_normal(gradient.shape)
    random_part /= np.linalg.norm(random_part) + 1e-12
    length = np.linalg.norm(gradient)
    return random_part if length == 0.0 else random_part + gradient / length


def _central(probe: Probe, batch: dict[str, np.ndarray], variable: Any, direction: Any, reach: float) -> float:
    old = np.array(ops.convert_to_numpy(variable.value))
    values = []
    for sign in (1.0, -1.0):
        variable.assign((old + sign * reach * direction).astype(old.dtype))
        values.append(probe(batch)[0])
    variable.assign(old)
    return (values[0] - values[1]) / (2.0 * reach)
