"""Measurements the kits share: losses at fixed noise, and derivatives by differences."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from genloom import backend
from genloom.errors import GenLoomError
from genloom.messages import tell
from genloom.model.naming import variable_names
from genloom.model.phase import Phase
from genloom.random import NoiseStream, training_noise
from genloom.testing.precision import Precision, computing_in

__all__ = ["Derivative", "Probe", "built_in", "derivatives", "probes_of", "uncovered"]

#: What an engine says of float32 among float64.
_OF_PRECISION = re.compile("dtype|double|float32|float64", re.IGNORECASE)


def uncovered(model: Any) -> list[str]:
    """Return the paths of trainable variables that no phase moves."""
    covered = {id(v) for phase in model.phases() for v in phase.resolve()}
    return [v.path for v in model.trainable_variables if id(v) not in covered]


class _Noise(NoiseStream):
    """Draw k is always the same numbers, NumPy's and so on every engine, in floatx."""

    def __init__(self) -> None:
        super().__init__(0, 0, "portable")

    def normal(self, shape: Sequence[int], dtype: str = "float32") -> Any:
        """Draw standard normals of `shape`."""
        return self._tensor(self._next().standard_normal(tuple(shape)))

    def uniform(self, shape: Sequence[int], dtype: str = "float32") -> Any:
        """Draw uniforms in [0, 1) of `shape`."""
        return self._tensor(self._next().random(tuple(shape)))

    def _next(self) -> np.random.Generator:
        self.draws += 1
        return np.random.default_rng(self.draws)

    @staticmethod
    def _tensor(values: np.ndarray) -> Any:
        return ops.convert_to_tensor(values.astype(keras.config.floatx()))


class Probe:
    """One phase's loss and gradients at noise that never changes; whatever the loss writes is dropped.

    Args:
        model: a model built in `precision`; `follow` gives it the weights of another.
        phase: one of its phases.
        precision: what it computes in.
    """

    def __init__(self, model: Any, phase: Phase, precision: Precision) -> None:
        self.model, self.phase, self.precision = model, phase, precision
        self.variables = phase.resolve()
        self._metrics: set[str] = set()
        self._loss = backend.compiled(self._evaluate, model)
        self._slopes = backend.compiled(self._differentiate, model)

    def _evaluate(self, batch: dict[str, Any]) -> Any:
        with self._apart(), training_noise(_Noise()):
            mean, metrics, _ = self.phase.loss(batch)
        self._metrics = set(metrics)
        return ops.cast(mean, self.precision)

    def _differentiate(self, batch: dict[str, Any]) -> tuple[Any, list[Any]]:
        (mean, _), gradients = backend.value_and_grad(lambda: (self._evaluate(batch), ()), self.variables)
        return mean, gradients

    def _apart(self) -> keras.StatelessScope:
        """A scope that starts from the variables as they are, and takes what is written along when it ends."""
        return keras.StatelessScope(state_mapping=[(v, v.value) for v in self.model.variables])

    def loss(self, batch: dict[str, np.ndarray]) -> float:
        """Return the loss of a batch, its float arrays brought to the probe's precision."""
        with computing_in(self.precision):
            return _number(self._loss(_tensors(batch)))

    def metrics(self, batch: dict[str, np.ndarray]) -> set[str]:
        """Return the names of the metrics that come with a loss."""
        self.loss(batch)
        return self._metrics

    def gradients(self, batch: dict[str, np.ndarray]) -> tuple[float, list[np.ndarray]]:
        """Return the loss, computed anew, and one float64 gradient per variable of the phase."""
        with computing_in(self.precision):
            mean, gradients = self._slopes(_tensors(batch))
            return _number(mean), [np.asarray(ops.convert_to_numpy(g), "float64") for g in gradients]

    def follow(self, model: Any) -> None:
        """Take over the variables of another model of the same kind."""
        theirs = variable_names(model)
        with computing_in(self.precision):
            for name, variable in variable_names(self.model).items():
                variable.assign(np.array(ops.convert_to_numpy(theirs[name].value)))

    def moved(self, moves: Sequence[tuple[Any, np.ndarray]], batch: dict[str, np.ndarray]) -> float:
        """Return the loss with some variables moved; they are then put back."""
        with computing_in(self.precision):
            before = [np.array(ops.convert_to_numpy(variable.value)) for variable, _ in moves]
            try:
                for (variable, by), old in zip(moves, before, strict=True):
                    variable.assign((old + by).astype(self.precision))
                return self.loss(batch)
            finally:
                for (variable, _), old in zip(moves, before, strict=True):
                    variable.assign(old)


def probes_of(make: Callable[[], Any], batch: dict[str, np.ndarray]) -> list[Probe]:
    """Return a probe of each phase of a model that `make` builds here, in float64 where the model has it.

    A model has it whose full precision is `keras.config.floatx()`. One that asks for "float32" is refused by some
    engines, and rounded in silence by others; it is compared in float32, less sharply, which a line on stderr says.
    """
    try:
        probes = built_in("float64", make)
        rounded = [probe.phase.name for probe in probes if not _resolves(probe, batch)]
    except Exception as error:
        if isinstance(error, GenLoomError) or not _OF_PRECISION.search(str(error)):
            raise
        reason = f"{type(error).__name__}: {error}"
    else:
        if not rounded:
            return probes
        reason = f"something in {', '.join(rounded)} is float32"
    tell(f"gradients are compared in float32, less sharply: {reason}")
    return built_in("float32", make)


def built_in(precision: Precision, make: Callable[[], Any]) -> list[Probe]:
    """Return a probe of each phase of a model that `make` builds in a precision."""
    with computing_in(precision):
        model = make()
        return [Probe(model, phase, precision) for phase in model.phases()]


def _resolves(probe: Probe, batch: dict[str, np.ndarray]) -> bool:
    """Say whether steps of 1e-8 show the same slope as those of 1e-6: what is float32 on the way stays or jumps."""
    rng = np.random.default_rng(0)
    directions = [(v, _unit(rng.standard_normal(tuple(v.shape)))) for v in probe.variables]

    def slope(step: float) -> float:
        ahead, behind = (probe.moved([(v, way * d) for v, d in directions], batch) for way in (step, -step))
        return (ahead - behind) / (2.0 * step)

    long, short = slope(1e-6), slope(1e-8)
    return abs(long - short) <= 1e-5 * abs(long) + 1e-6 * max(1.0, abs(probe.loss(batch)))


def _tensors(batch: dict[str, np.ndarray]) -> dict[str, Any]:
    floatx = keras.config.floatx()
    floating = {name: array.astype(floatx) for name, array in batch.items() if array.dtype.kind == "f"}
    return {name: ops.convert_to_tensor(array) for name, array in {**batch, **floating}.items()}


def _number(x: Any) -> float:
    return float(ops.convert_to_numpy(x))


@dataclasses.dataclass(frozen=True)
class Derivative:
    """The derivative of a loss along one direction of one variable.

    Attributes:
        variable: its path.
        direction: "along" its gradient, or "across": at random, orthogonal to the gradient.
        by_gradient: what the gradient says.
        numerical: central difference; None where every direction that was tried crosses a kink.
        allowed: how far the two may be apart.
    """

    variable: str
    direction: Literal["along", "across"]
    by_gradient: float
    numerical: float | None
    allowed: float

    @property
    def wrong(self) -> bool:
        """Whether the gradient is not the loss's derivative here."""
        return self.numerical is None or not abs(self.by_gradient - self.numerical) <= self.allowed


@dataclasses.dataclass(frozen=True)
class _Difference:
    """A central difference's length, and the error that is allowed for it.

    With steps of length h and a loss L the error is about ε |L| / h, of rounding to ε, plus h² |L'''| / 6, of
    curvature. L''' of a network is some tens or hundreds of times its gradient.

    Attributes:
        step: h.
        relative: share of the variable's gradient that curvature may cost.
        rounding: share of the loss (of 1, where that is larger) that rounding may cost.
        sees_kinks: whether h is so short that a difference between both sides is a kink and no curvature.
    """

    step: float
    relative: float
    rounding: float
    sees_kinks: bool


_DIFFERENCES: dict[Precision, _Difference] = {
    # Rounding costs 2e-16 / 1e-6, of which sums of some thousand terms make 1e-9; curvature 1e-12 L''' / 6: nothing.
    "float64": _Difference(1e-6, 1e-4, 1e-8, True),
    # Near the best length, ε^⅓: rounding costs 2e-7 / 5e-3 = 4e-5; curvature 4e-6 L''', up to 2 % of the gradient.
    "float32": _Difference(5e-3, 2e-2, 1e-4, False),
}
_TRIES = 5  # directions, each with a share of chance in it, of which one must cross no kink


def derivatives(probe: Probe, batch: dict[str, np.ndarray]) -> Iterator[Derivative]:
    """Yield two derivatives of every variable of a phase: along its gradient, and orthogonal to it.

    Args:
        probe: of the phase whose loss is differentiated.
        batch: rows of one slice.
    """
    loss, gradients = probe.gradients(batch)
    for i, (variable, gradient) in enumerate(zip(probe.variables, gradients, strict=True)):
        rng = np.random.default_rng(i)
        yield _derivative("along", _along(gradient, rng), probe, batch, variable, gradient, loss)
        if gradient.size > 1:
            yield _derivative("across", _across(gradient, rng), probe, batch, variable, gradient, loss)


def _derivative(
    name: Literal["along", "across"],
    directions: Iterator[np.ndarray],
    probe: Probe,
    batch: dict[str, np.ndarray],
    variable: Any,
    gradient: np.ndarray,
    loss: float,
) -> Derivative:
    """Measure along the first of these directions on which the step crosses no kink."""
    how = _DIFFERENCES[probe.precision]
    allowed = how.relative * float(np.linalg.norm(gradient)) + how.rounding * max(1.0, abs(loss))
    for _, direction in zip(range(_TRIES), directions, strict=False):
        by_gradient = float((gradient * direction).sum())

        def slopes(step: float, direction: np.ndarray = direction) -> tuple[float, float]:
            ahead, behind = (probe.moved([(variable, way * direction)], batch) for way in (step, -step))
            return (ahead - loss) / step, (loss - behind) / step

        forward, backward = slopes(how.step)
        if not how.sees_kinks or _smooth(forward - backward, slopes, how.step, allowed):
            return Derivative(variable.path, name, by_gradient, (forward + backward) / 2.0, allowed)
    return Derivative(variable.path, name, by_gradient, None, allowed)


def _smooth(bend: float, slopes: Callable[[float], tuple[float, float]], step: float, allowed: float) -> bool:
    """Say whether the slopes of both sides differ by curvature only, whatever the gradient is.

    A kink within the step bends by up to its whole jump, and spoils the central difference by half of that; a bend
    of curvature halves with the step, one of a kink does not.
    """
    if abs(bend) <= allowed:
        return True
    forward, backward = slopes(step / 2.0)
    return abs(bend - 2.0 * (forward - backward)) <= allowed


def _along(gradient: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the gradient's direction, then directions that are half by chance."""
    length = float(np.linalg.norm(gradient))
    if length > 0.0:
        yield gradient / length
    while True:
        chance = _unit(rng.standard_normal(gradient.shape))
        yield _unit(chance if length == 0.0 else chance + gradient / length)


def _across(gradient: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield directions by chance, orthogonal to the gradient."""
    square = float((gradient**2).sum())
    while True:
        chance = rng.standard_normal(gradient.shape)
        yield _unit(chance if square == 0.0 else chance - (chance * gradient).sum() / square * gradient)


def _unit(direction: np.ndarray) -> np.ndarray:
    return direction / math.sqrt(float((direction**2).sum()))
