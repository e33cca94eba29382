"""RUN/log.jsonl: one line per epoch, and every so many steps when asked."""

from __future__ import annotations

from typing import Any

import keras

from genloom.training.cadence import Every
from genloom.training.session import Session

__all__ = ["RunLog", "losses"]


def losses(logs: Any) -> dict[str, float]:
    """Return a callback's logs as numbers, the rate left out: it has a place of its own."""
    return {name: float(value) for name, value in (logs or {}).items() if name != "learning_rate"}


class RunLog(keras.callbacks.Callback):
    """Write step, epoch (from 1), seconds, the epoch's means so far and the rate of each phase."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session, self.due = session, Every(session.settings.log_every)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Write a line within an epoch."""
        if self.due(self.session.step, self.session.advanced) and not self.session.at_boundary:
            self._write(self.session.plan.epoch_of(self.session.step), logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's line."""
        self._write(epoch, logs)

    def _write(self, epoch: int, logs: Any) -> None:
        session = self.session
        session.model.sync_state()
        entry = {"step": session.step, "epoch": epoch + 1, "seconds": session.seconds}
        session.run.append_log({**entry, "losses": losses(logs), "rates": session.model.optimizer.rates()})
