"""One short training that most promises are read from: two epochs, a snapshot between them, and a resumed twin."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from genloom.model import state
from genloom.model.phase import Phase
from genloom.testing.probes import Probe

__all__ = ["Experiment", "losses", "run_experiment"]


@dataclasses.dataclass
class Experiment:
    """What a short training left behind.

    Attributes:
        model: the model after two epochs.
        middle: its whole state after the first epoch, by stable name.
        end: its whole state after the second.
        resumed: the state of an untrained twin that was given `middle` and trained for the second epoch.
        loaded: the twin's state straight after it was given `middle`.
        traces: calls of the loss functions up to the end of each epoch.
        before: loss of each phase before training, at fixed noise on the first batch.
        after: the same after training.
    """

    model: Any
    middle: dict[str, np.ndarray]
    end: dict[str, np.ndarray]
    resumed: dict[str, np.ndarray]
    loaded: dict[str, np.ndarray]
    traces: tuple[int, int]
    before: dict[str, float]
    after: dict[str, float]


class _Counted:
    """A model's phases whose losses count how often Python runs them."""

    def __init__(self, phases: Callable[[], list[Phase]]) -> None:
        self.phases, self.calls = phases, 0

    def __call__(self) -> list[Phase]:
        return [dataclasses.replace(phase, loss=self._counting(phase.loss)) for phase in self.phases()]

    def _counting(self, loss: Callable[..., Any]) -> Callable[..., Any]:
        def counted(batch: dict[str, Any]) -> Any:
            self.calls += 1
            return loss(batch)

        return counted


def run_experiment(
    model: Any, twin: Any, probes: list[Probe], batch: Callable[[int], dict[str, np.ndarray]], steps: int
) -> Experiment:
    """Train a model on `batch(step)` for two epochs of `steps`, and resume its untrained twin from the state between.

    Args:
        model: a new model, not compiled.
        twin: another of the same seed.
        probes: of the phases of a model of its kind.
        batch: returns the batch of a step.
        steps: steps of each epoch.
    """
    counted = _Counted(model.phases)
    before = losses(probes, model, batch(0))
    model.phases = counted
    model.compile(ema=0.9)
    _fit(model, batch, 0, steps)
    first, middle = counted.calls, state.collect(model)
    _fit(model, batch, steps, steps)
    calls, end = counted.calls, state.collect(model)
    model.phases = counted.phases
    twin.compile(ema=0.9)
    state.restore(twin, middle)
    loaded = state.collect(twin)
    _fit(twin, batch, steps, steps)
    resumed, after = state.collect(twin), losses(probes, model, batch(0))
    return Experiment(model, middle, end, resumed, loaded, (first, calls), before, after)


def losses(probes: list[Probe], model: Any, batch: dict[str, np.ndarray]) -> dict[str, float]:
    """Return each phase's loss of a model on one slice of a batch."""
    rows = len(batch["x"]) // max(probe.phase.repeats for probe in probes)
    part = {name: array[:rows] for name, array in batch.items()}
    for probe in probes:
        probe.follow(model)
    return {probe.phase.name: probe.loss(part) for probe in probes}


def _fit(model: Any, batch: Callable[[int], dict[str, np.ndarray]], start: int, steps: int) -> None:
    def stream() -> Iterator[tuple[dict[str, np.ndarray]]]:
        for step in itertools.count(start):
            yield (batch(step),)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*shuffle=True.*")
        model.fit(stream(), steps_per_epoch=steps, epochs=1, verbose=0)
