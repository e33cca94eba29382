"""Checkpoints at the end of epochs, within them when asked, and at the end of training; called after all else.

The training waits for a copy of the state alone; another thread writes it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from genloom.model.state import collect
from genloom.plugins.hooks import notify
from genloom.runs import save
from genloom.training.cadence import Every
from genloom.training.callback_state import gather
from genloom.training.callbacks.finite import check_state
from genloom.training.callbacks.log import losses
from genloom.training.session import Session

__all__ = ["Checkpoint"]


class Checkpoint(keras.callbacks.Callback):
    """Save the whole state, so that a training killed at any instant goes on bitwise.

    Args:
        session: the training.
        callbacks: returns the callbacks whose counters are part of the state.
        extra: what every manifest states beside the arrays: spec, versions.
    """

    def __init__(self, session: Session, callbacks: Callable[[], Any], extra: Mapping[str, Any]) -> None:
        super().__init__()
        self.session, self.callbacks, self.extra = session, callbacks, dict(extra)
        self.epochs_due = Every(session.settings.checkpoint_every)
        self.steps_due = Every(session.settings.checkpoint_steps)
        self.metrics: dict[str, float] = {}
        self.saved_step = session.step if session.resumed else -1
        session.save = self.save

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save within an epoch; its last step is saved when the epoch's own work is done."""
        self.session.saving.look()
        if self._due_by_steps() and not self.session.at_boundary and self._within():
            self._begin()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save after the epoch's validation, pictures and log line."""
        self.metrics = losses(logs)
        on_cadence = self.epochs_due(epoch + 1) or self._due_by_steps()
        if on_cadence or not self._within() or self.model.stop_training:
            self._begin()

    def on_train_end(self, logs: Any = None) -> None:
        """Save the end."""
        self.save()

    def save(self) -> None:
        """Write a checkpoint of this moment, unless there is one, and wait until it is on the disk.

        Raises:
            RunError: a value of the state is not finite; earlier checkpoints stay.
            DiskError: the disk refused.
        """
        if self.saved_step != self.session.step:
            self._begin()
        self.session.saving.wait()

    def _begin(self) -> None:
        """Copy the state and have it written, once the checkpoint before is there: never are two on their way."""
        session, settings = self.session, self.session.settings
        session.saving.wait()
        first = session.run.latest() is None
        arrays = {**collect(session.model), **session.totals, **gather(self.callbacks())}
        check_state(session, arrays)
        job = functools.partial(
            save,
            session.run,
            session.step,
            arrays,
            {**self.extra, "metrics": self.metrics, "seconds": session.seconds},
            keep=settings.keep,
            keep_best=None if settings.best is None else (settings.best, settings.best_mode),
        )
        self.saved_step = session.step
        session.saving.begin(job, self._saved)
        if first:  # waited for: a run that has come further and has no checkpoint has lost it
            session.saving.wait()

    def _saved(self, path: Path) -> None:
        notify("genloom_checkpoint_saved", run=self.session.run, path=path)

    def _due_by_steps(self) -> bool:
        return self.steps_due(self.session.step, self.session.advanced)

    def _within(self) -> bool:
        """Whether steps of the plan are left."""
        return self.session.step < self.session.plan.total_steps
