"""How long a training is: steps in all, steps per epoch, and the stretches that Keras's `fit` runs one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from genloom.errors import ConfigError
from genloom.runs.manifest import LAST_STEP
from genloom.training.settings import TrainingSettings

__all__ = ["Plan", "Stretch"]


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Steps that one call of `fit` runs: a part of one epoch, or several whole ones.

    Attributes:
        start: first step.
        first_epoch: epoch that `start` lies in, from 0.
        end_epoch: epoch after the last.
        steps: steps per epoch of this call.
    """

    start: int
    first_epoch: int
    end_epoch: int
    steps: int

    @property
    def end(self) -> int:
        """Steps finished after it."""
        return self.start + (self.end_epoch - self.first_epoch) * self.steps

    def execution(self, step: int, most: int) -> int:
        """Return how many steps the execution after `step` steps has: `most`, fewer at the end of an epoch."""
        return min(most, self.steps - (step - self.start) % self.steps)

    def executions(self, most: int) -> int:
        """Return the executions per epoch of this call."""
        return -(-self.steps // most)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The length of a training.

    Attributes:
        steps_per_epoch: steps of one pass over the training data.
        total_steps: steps in all.
    """

    steps_per_epoch: int
    total_steps: int

    @classmethod
    def of(cls, settings: TrainingSettings, steps_per_epoch: int) -> Plan:
        """Return the plan of a training: `steps` where given, else `epochs`.

        Raises:
            ConfigError: more steps than a run can number.
        """
        total = settings.steps if settings.steps is not None else settings.epochs * steps_per_epoch
        if total > LAST_STEP:
            raise ConfigError(
                f"{settings.epochs} epochs of {steps_per_epoch} steps are {total} steps; at most {LAST_STEP} fit.",
                mend="Ask for fewer epochs.",
            )
        return cls(steps_per_epoch, total)

    @property
    def epochs(self) -> int:
        """Epochs begun in all."""
        return -(-self.total_steps // self.steps_per_epoch)

    def epoch_of(self, step: int) -> int:
        """Return the number of whole epochs that `step` steps make."""
        return step // self.steps_per_epoch

    def is_boundary(self, step: int) -> bool:
        """Say whether `step` steps end an epoch."""
        return step % self.steps_per_epoch == 0

    def stretches(self, start: int) -> Iterator[Stretch]:
        """Yield what is left after `start` steps: the rest of an epoch, whole epochs, the beginning of a last one."""
        length, step = self.steps_per_epoch, start
        if step < self.total_steps and not self.is_boundary(step):
            end = min(self.total_steps, (self.epoch_of(step) + 1) * length)
            yield Stretch(step, self.epoch_of(step), self.epoch_of(step) + 1, end - step)
            step = end
        whole = (self.total_steps - step) // length
        if whole > 0:
            first = self.epoch_of(step)
            yield Stretch(step, first, first + whole, length)
            step += whole * length
        if step < self.total_steps:
            first = self.epoch_of(step)
            yield Stretch(step, first, first + 1, self.total_steps - step)
