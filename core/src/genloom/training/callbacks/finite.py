"""Stop when a loss is no longer a number; the last checkpoint, written while all was finite, stays."""

from __future__ import annotations

import math
from typing import Any

import keras

from genloom.errors import RunError
from genloom.training.cadence import Every
from genloom.training.session import Session

__all__ = ["STEADIER", "StopOnNaN"]

#: What helps against a training that diverges.
STEADIER = (
    "Lower the rate (--set training.learning_rate=RATE), clip gradients (--set training.clip=1), or warm up "
    "(--set training.warmup_steps=N)."
)

_CHECK_EVERY = 10  # steps: each check waits for the device


class StopOnNaN(keras.callbacks.Callback):
    """Raise a RunError that names the step and the loss."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session, self.due = session, Every(_CHECK_EVERY)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at the running means; once one is not finite it stays so for the epoch."""
        step, advanced = self.session.step, self.session.advanced
        if self.due(step, advanced) or step == advanced:
            self._check(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look at the epoch's means before anything is saved."""
        self._check(logs)

    def _check(self, logs: Any) -> None:
        for name, value in (logs or {}).items():
            if not math.isfinite(float(value)):
                latest = self.session.run.latest()
                kept = "no checkpoint was written yet" if latest is None else f"{latest.name} is kept"
                raise RunError(
                    f"{name} is {float(value)} at step {self.session.step}; {kept}.",
                    mend=STEADIER,
                )
