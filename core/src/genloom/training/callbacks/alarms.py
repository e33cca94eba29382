"""Look at a model's alarms at the end of epochs: one line on stderr and a mark in the log as one begins to sound."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from genloom.messages import tell
from genloom.model.alarm import Alarm, Seen
from genloom.training.callbacks.log import losses
from genloom.training.session import Session

__all__ = ["Alarms"]

_ROWS = 256


class Alarms(keras.callbacks.Callback):
    """Measure each alarm's number when it is due, and say when it begins to sound, again once it had stopped.

    Args:
        session: the training.
        alarms: the model's own and those that every model has.
        samples: what is trained on, a `Split`.
    """

    def __init__(self, session: Session, alarms: Sequence[Alarm], samples: Any) -> None:
        super().__init__()
        self.session, self.alarms = session, alarms
        self.values: dict[str, list[float]] = {alarm.name: [] for alarm in alarms}
        self.looked = dict.fromkeys(self.values, session.step)
        self.sounding = dict.fromkeys(self.values, False)
        self.rows = functools.cache(lambda: samples.take(_spread(len(samples))))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look at those that are due; not within an epoch, where a training may end that goes on later."""
        if not self.session.at_boundary:
            return
        due = [alarm for alarm in self.alarms if self.session.step - self.looked[alarm.name] >= alarm.every]
        if due:
            self.session.model.sync_state()
            seen = Seen(losses(logs), self.rows)
            for alarm in due:
                self._look(alarm, seen, epoch)

    def _look(self, alarm: Alarm, seen: Seen, epoch: int) -> None:
        value = alarm.value(seen)
        if value is None:
            return
        values = self.values[alarm.name]
        values.append(float(value))
        self.looked[alarm.name] = self.session.step
        before, self.sounding[alarm.name] = self.sounding[alarm.name], bool(alarm.sounds(values))
        if self.sounding[alarm.name] and not before:
            self._sound(alarm, values[-1], epoch)

    def _sound(self, alarm: Alarm, value: float, epoch: int) -> None:
        session = self.session
        said = f"{alarm.name} is {value:.4g} after epoch {epoch + 1} (step {session.step}): {alarm.meaning}."
        mark = {"name": alarm.name, "value": value, "meaning": alarm.meaning, "mend": alarm.mend}
        entry = {"step": session.step, "epoch": epoch + 1, "seconds": session.seconds, "losses": {}, "rates": {}}
        session.run.append_log({**entry, "alarm": mark})
        if session.settings.stop_on_alarm and session.alarm is None:
            session.alarm = said, alarm.mend  # the error that ends the training says it
            session.model.stop_training = True
        else:
            tell(f"alarm: {said} {alarm.mend}")

    def get_state(self) -> dict[str, Any]:
        """Return what a resumed run needs: the numbers so far, when each was looked at, and which sound."""
        state: dict[str, Any] = {}
        for name, values in self.values.items():
            state[f"{name}.looked"], state[f"{name}.sounding"] = self.looked[name], self.sounding[name]
            state[f"{name}.values"] = np.asarray(values)
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        for name in self.values:
            self.values[name] = [float(value) for value in state.get(f"{name}.values", [])]
            self.looked[name] = int(state.get(f"{name}.looked", self.looked[name]))
            self.sounding[name] = bool(state.get(f"{name}.sounding", False))


def _spread(n: int) -> Any:
    """Return the numbers of at most `_ROWS` of n samples, evenly spaced."""
    size = min(_ROWS, n)
    return np.arange(size) * n // size
