"""One Keras optimizer that carries a named optimizer per phase, their schedules, and the moving average of weights.

Keras's trainers carry the state of exactly one `model.optimizer`, so everything that must survive a jitted step or a
checkpoint hangs off this one: each phase's slots, its rate, and the averaged weights.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from genloom import backend
from genloom.errors import ConfigError
from genloom.model.muon import Muon
from genloom.model.optimizer_copies import configuration, copied

__all__ = ["Muon", "PhaseOptimizers"]

_EMA_WARMUP = 10  # decay_t = min(decay, (1 + t) / (10 + t)): early weights are forgotten quickly.


def _refuse(phase: str, optimizer: keras.optimizers.Optimizer) -> None:
    for name in ("use_ema", "gradient_accumulation_steps"):
        if getattr(optimizer, name, None):
            own = {"use_ema": "ema=0.999", "gradient_accumulation_steps": "accumulate=k"}[name]
            raise ConfigError(
                f"The optimizer of phase {phase!r} sets {name}={getattr(optimizer, name)!r}.",
                mend=f"Use model.compile({own}) instead: it serves every phase.",
            )
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ConfigError(
            f"The optimizer of phase {phase!r} is a LossScaleOptimizer.",
            mend="Use the policy 'mixed_bfloat16', which needs no loss scale.",
        )


def _clone(optimizer: keras.optimizers.Optimizer) -> tuple[keras.optimizers.Optimizer, Any]:
    """Return a fresh copy with a plain rate variable, and the schedule that drives it (or None)."""
    config, schedule = configuration(optimizer)
    return backend.prepare_optimizer(copied(optimizer, config)), schedule


class PhaseOptimizers(keras.optimizers.Optimizer):
    """A named optimizer for each phase, behind the interface of one.

    `learning_rate` is the first phase's; setting it scales the others by the same ratio, so Keras's
    LearningRateScheduler and ReduceLROnPlateau reach every phase.

    Args:
        optimizers: phase name → Keras optimizer; each is cloned.
        variables: phase name → the trainable variables it moves.
        ema: decay of the moving average of weights in (0, 1), or None.
        statistics: variables that no optimizer moves and that are averaged like the weights.

    Raises:
        ConfigError: an optimizer that keeps its own moving average, accumulation or loss scale.
    """

    phases: Mapping[str, keras.optimizers.Optimizer] = MappingProxyType({})

    def __init__(
        self,
        optimizers: Mapping[str, keras.optimizers.Optimizer],
        variables: Mapping[str, Sequence[keras.Variable]],
        ema: float | None = None,
        statistics: Sequence[keras.Variable] = (),
    ) -> None:
        super().__init__(learning_rate=0.0, name="phases")
        given: Any = ema
        if ema is not None and not (isinstance(given, numbers.Real) and 0.0 < ema < 1.0):
            raise ConfigError(f"ema must be a decay between 0 and 1, got {ema!r}.")
        clones = {}
        for phase, optimizer in optimizers.items():
            _refuse(phase, optimizer)
            clones[phase] = _clone(optimizer)
            clones[phase][0].build(list(variables[phase]))
        self.phases = {phase: clone for phase, (clone, _) in clones.items()}
        self.schedules = {phase: schedule for phase, (_, schedule) in clones.items()}
        self.phase_variables = {phase: list(variables[phase]) for phase in optimizers}
        self.ema = ema
        groups = [*self.phase_variables.values(), list(statistics)]
        self.statistics = list(statistics)
        self.averaged = list({id(v): v for group in groups for v in group}.values())
        self.shadows = [] if ema is None else [_shadow(v) for v in self.averaged]
        self.built = True

    @property
    def first(self) -> keras.optimizers.Optimizer:
        """The first phase's optimizer, whose rate stands for all."""
        return next(iter(self.phases.values()))

    @property
    def variables(self) -> list[keras.Variable]:
        """Every state variable: the step counter, each phase's slots and rate, the averaged weights."""
        own = [self.iterations]
        return own + [v for optimizer in self.phases.values() for v in optimizer.variables] + self.shadows

    @property
    def learning_rate(self) -> Any:
        """The first phase's rate, a float32 scalar."""
        return self.first.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if not self.phases:
            return  # Keras's constructor sets its own placeholder first.
        if any(self.schedules.values()):
            raise TypeError("The rate follows a schedule and cannot be set; compile with a plain learning rate.")
        ratio = float(ops.convert_to_numpy(value)) / float(ops.convert_to_numpy(self.learning_rate))
        for optimizer in self.phases.values():
            optimizer.learning_rate = ratio * float(ops.convert_to_numpy(optimizer.learning_rate))

    def rates(self) -> dict[str, float]:
        """Return the current learning rate of each phase."""
        return {name: float(ops.convert_to_numpy(o.learning_rate)) for name, o in self.phases.items()}

    def follow_schedules(self) -> None:
        """Write each scheduled phase's rate for the coming update."""
        for name, schedule in self.schedules.items():
            if schedule is not None:
                optimizer = self.phases[name]
                optimizer.learning_rate.assign(ops.cast(schedule(optimizer.iterations), "float32"))

    def apply_phase(self, phase: str, gradients: Sequence[Any]) -> None:
        """Move the variables of one phase along its gradients."""
        self.phases[phase].apply(list(gradients), self.phase_variables[phase])

    def finish_step(self) -> None:
        """Count the step and move the averaged weights (Polyak averaging with warm-up)."""
        self.iterations.assign_add(1)
        if self.ema is None:
            return
        t = ops.cast(self.iterations, "float32")
        keep = ops.minimum(self.ema, (1.0 + t) / (_EMA_WARMUP + t))
        backend.move_towards(self.shadows, self.averaged, 1.0 - keep)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Refuse: gradients belong to a phase."""
        raise NotImplementedError("Use apply_phase(name, gradients): each phase has its own optimizer.")

    def get_config(self) -> dict[str, Any]:
        """Return the phases' own configurations; a run directory keeps them, not a pickled optimizer."""
        return {"phases": {n: o.get_config() for n, o in self.phases.items()}, "ema": self.ema}


def _shadow(variable: keras.Variable) -> keras.Variable:
    return keras.Variable(
        ops.convert_to_numpy(variable.value), dtype="float32", trainable=False, name=f"{variable.name}_ema"
    )
