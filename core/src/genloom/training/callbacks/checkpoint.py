"""Checkpoints at the end of epochs, within them when asked, and at the end of training; called after all else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from genloom.plugins.hooks import notify
from genloom.runs import save
from genloom.training.cadence import Every
from genloom.training.callback_state import gather
from genloom.training.callbacks.finite import check_state
from genloom.training.callbacks.log import losses
from genloom.training.session import Session
from genloom.training.state import collect

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
        if self._due_by_steps() and not self.session.at_boundary and self._within():
            self.save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save after the epoch's validation, pictures and log line."""
        self.metrics = losses(logs)
        on_cadence = self.epochs_due(epoch + 1) or self._due_by_steps()
        if on_cadence or not self._within() or self.model.stop_training:
            self.save()

    def on_train_end(self, logs: Any = None) -> None:
        """Save the end, unless it is saved."""
        if self.saved_step != self.session.step:
            self.save()

    def save(self) -> Path:
        """Write a checkpoint of this moment.

        Raises:
            RunError: a value of the state is not finite; earlier checkpoints stay.
        """
        session, settings = self.session, self.session.settings
        arrays = {**collect(session.model), **session.totals, **gather(self.callbacks())}
        check_state(session, arrays)
        path = save(
            session.run,
            session.step,
            arrays,
            {**self.extra, "metrics": self.metrics, "seconds": session.seconds},
            keep=settings.keep,
            keep_best=None if settings.best is None else (settings.best, settings.best_mode),
        )
        self.saved_step = session.step
        notify("genloom_checkpoint_saved", run=session.run, path=path)
        return path

    def _due_by_steps(self) -> bool:
        return self.steps_due(self.session.step, self.session.advanced)

    def _within(self) -> bool:
        """Whether steps of the plan are left."""
        return self.session.step < self.session.plan.total_steps
