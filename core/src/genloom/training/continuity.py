"""Callbacks over several calls of `fit` that are one training: begun once, ended once, their counters carried along.

A training that goes on in the middle of an epoch runs the rest of it as its own `fit`. Keras's list of callbacks would
begin and end each call, which resets patience and restores best weights too early.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from genloom.messages import tell
from genloom.model.state import collect, restore_metrics
from genloom.training.callback_state import scatter, without_state
from genloom.training.plan import Stretch
from genloom.training.session import Session

__all__ = ["TrainingCallbacks"]


class TrainingCallbacks(keras.callbacks.CallbackList):
    """Keras's list of callbacks for one whole training.

    Attributes:
        stretch: the one that runs now; whoever calls `fit` sets it.

    Args:
        session: the training.
        foreign: callbacks of the caller and of plugins; their logs are numbers, as Keras promises.
        own: GenLoom's; after a batch they get tensors, so that reading a loss waits for the device only when asked.
    """

    stretch: Stretch

    def __init__(self, session: Session, foreign: Sequence[Any], own: Sequence[Any]) -> None:
        super().__init__([*foreign, *own], add_history=True, model=session.model, **_params(session))
        self.session, self.foreign, self.own = session, [*foreign], [*own]
        self.batchwise = [c for c in self.foreign if _listens(c)]
        self._begun = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin once, then give resumed counters back."""
        if self._begun:
            return
        self._begun = True
        super().on_train_begin(logs)
        scatter(self.stateful, self.session.resumed)
        silent = without_state(self.foreign) if self.session.resumed else []
        if silent:
            tell(f"{', '.join(silent)} keeps counters but has no get_state(), so a resume resets them.")

    def on_train_end(self, logs: Any = None) -> None:
        """Do nothing: `finish` ends the training."""

    def finish(self) -> None:
        """End every callback."""
        super().on_train_end()

    @property
    def stateful(self) -> list[Any]:
        """The callbacks whose counters are saved, in a fixed order."""
        return [*self.foreign, *self.own]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Put the running means of a partial epoch back, which Keras has just reset."""
        if self.session.resumed and not self.session.at_boundary:
            restore_metrics(self.session.model, self.session.resumed)
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Say which step of the epoch begins; Keras counts calls of the engine from the last `fit`."""
        super().on_train_batch_begin(self.session.step % self.session.plan.steps_per_epoch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the steps of the execution and tell the callbacks."""
        session, stretch = self.session, self.stretch
        session.advanced = stretch.execution(session.step, session.settings.steps_per_execution)
        session.step += session.advanced
        batch = (session.step - 1) % session.plan.steps_per_epoch
        if session.step == stretch.end and not session.at_boundary:
            state = collect(session.model)
            session.totals = {name: array for name, array in state.items() if name.startswith("metric/")}
        if self.batchwise:
            numbers = {name: float(value) for name, value in (logs or {}).items()}
            for callback in self.batchwise:
                callback.on_train_batch_end(batch, numbers)
        for callback in self.own:
            callback.on_train_batch_end(batch, logs)


def _params(session: Session) -> dict[str, Any]:
    return {"verbose": 0, "epochs": session.plan.epochs, "steps": session.plan.steps_per_epoch}


def _listens(callback: Any) -> bool:
    """Say whether a callback does something after a batch."""
    base = keras.callbacks.Callback
    return any(
        getattr(type(callback), name) is not getattr(base, name) for name in ("on_train_batch_end", "on_batch_end")
    )
