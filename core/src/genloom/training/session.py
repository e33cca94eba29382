"""What the callbacks of one training share: the run, the model, where it stands, and how to save it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.training.background import Background
from genloom.training.plan import Plan
from genloom.training.settings import TrainingSettings

if TYPE_CHECKING:
    from genloom.model import GenerativeModel
    from genloom.runs import Run

__all__ = ["Session"]


@dataclasses.dataclass
class Session:
    """One training in this process.

    Attributes:
        run: where it is written.
        model: what is trained.
        settings: how.
        plan: how long.
        step: finished steps; counted here, so that reading it does not wait for the device.
        advanced: how many of them the last execution ran.
        seconds_before: time the run took before this process.
        resumed: arrays of the checkpoint it went on from, empty without one.
        totals: running means at the end of a last, partial epoch, which validation resets.
        save: writes a checkpoint of this moment and waits for it; set by the checkpoint callback.
        saving: writes checkpoints beside the training.
        alarm: what ends the training and how to mend it, where an alarm sounded that stops it; None else.
        say: says what runs when no step does; set by the progress.
    """

    run: Run
    model: GenerativeModel
    settings: TrainingSettings
    plan: Plan
    step: int = 0
    advanced: int = 0
    seconds_before: float = 0.0
    resumed: Mapping[str, np.ndarray[Any, Any]] = dataclasses.field(default_factory=dict)
    totals: dict[str, np.ndarray[Any, Any]] = dataclasses.field(default_factory=dict)
    save: Callable[[], Any] = lambda: None
    saving: Background = dataclasses.field(default_factory=Background)
    alarm: tuple[str, str] | None = None
    say: Callable[[str], None] = lambda what: None
    begun: float = dataclasses.field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, earlier processes included."""
        return self.seconds_before + time.perf_counter() - self.begun

    @property
    def at_boundary(self) -> bool:
        """Whether the steps finished so far end an epoch."""
        return self.plan.is_boundary(self.step)
