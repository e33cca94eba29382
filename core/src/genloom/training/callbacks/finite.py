"""Stop when a loss is no longer a number; a state with a value that is not finite is never kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from genloom.errors import RunError
from genloom.model.state import weights_by_name
from genloom.training.cadence import Every
from genloom.training.session import Session

__all__ = ["STEADIER", "StopOnNaN", "check_state", "not_finite"]

#: What helps against a training that diverges.
STEADIER = (
    "Lower the rate (--set training.learning_rate=RATE), clip gradients (--set training.clip=1), or warm up "
    "(--set training.warmup_steps=N)."
)

_CHECK_EVERY = 10  # steps: each check waits for the device

#: Arrays of a state that training moves; counters of callbacks may begin at infinity, as the best loss so far does.
_MOVED = ("model/", "ema/", "optimizer/", "metric/")


class StopOnNaN(keras.callbacks.Callback):
    """Raise a RunError that names the step, the loss and its phase."""

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
                phase = self.session.model._update.phase_of(name)
                whose = "held out" if phase is None else f"phase {phase!r}"
                raise RunError(
                    f"{name} ({whose}) is {float(value)} at step {self.session.step}; {_kept(self.session)}.",
                    mend=STEADIER,
                )


def check_state(session: Session, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Refuse to keep a state that is not finite.

    Raises:
        RunError: names an array, the phase that moves it and that phase's loss.
    """
    bad = not_finite(arrays)
    if not bad:
        return
    phase = _mover(session.model, bad[0])
    loss = "" if phase is None else f": {session.model._update.losses[phase]} (phase {phase!r}) diverges"
    raise RunError(
        f"{len(bad)} of {len(arrays)} arrays are not finite at step {session.step}, first {bad[0]}{loss}; "
        f"{_kept(session)}.",
        mend=STEADIER,
    )


def not_finite(arrays: Mapping[str, np.ndarray[Any, Any]]) -> list[str]:
    """Return the names of weights, averages, optimizer slots and running means with a value that is not finite."""
    moved = {name: array for name, array in arrays.items() if name.startswith(_MOVED)}
    floating = {name: array for name, array in moved.items() if array.dtype.kind not in "biu"}
    return [name for name, array in floating.items() if not np.isfinite(array).all()]


def _mover(model: Any, name: str) -> str | None:
    """Return the phase that moves an array of the state, None for what no gradient moves."""
    part, _, rest = name.partition("/")
    if part == "optimizer":
        return rest.partition("/")[0]
    moved = weights_by_name(model).get(f"model/{rest}")
    phases = model.optimizer.phase_variables
    return next((phase for phase, own in phases.items() if any(variable is moved for variable in own)), None)


def _kept(session: Session) -> str:
    session.saving.wait()
    latest = session.run.latest()
    return "no checkpoint was written yet" if latest is None else f"{latest.name} is kept"
