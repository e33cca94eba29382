"""Ctrl-C, SIGTERM and a hang-up: finish the step, save, then let the signal do what it would have done."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import keras

from genloom.runs.going_on import way_on
from genloom.training.session import Session

__all__ = ["Interruption"]

#: A hang-up is unknown on Windows.
_SIGNALS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__]


class Interruption(keras.callbacks.Callback):
    """Turn a signal into a saved end: exceptions raised in the middle of an update would leave half a step.

    Use as `with interruption.watching():`. A second signal acts at once, and so does the first before the first step
    is done, which a compilation may keep waiting. What is ignored, as a hang-up is under nohup, stays ignored.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session, self.first = session, session.step
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Catch the signals for the length of a `with` block; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._receive) for number in heeded}
        try:
            yield
        finally:
            self._put_back()
        if self.received is not None:
            signal.raise_signal(self.received)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """End within an epoch; its last step waits for the epoch's own work."""
        if self.received is not None and not self.session.at_boundary:
            self._end()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """End after an epoch."""
        if self.received is not None:
            self._end()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None or self.session.step == self.first:
            self._put_back()
            _note(self._lost())
            signal.raise_signal(number)
            return
        self.received = number
        _note("Interrupted: saving after this step. Interrupt again to stop at once.\n")

    def _end(self) -> None:
        self.session.save()
        _note(f"Saved at step {self.session.step}. {way_on(self.session.run)}\n")
        self._put_back()
        number, self.received = self.received, None
        signal.raise_signal(number or signal.SIGINT)

    def _lost(self) -> str:
        run = self.session.run
        saved = run.saved_step
        late = f"step {saved} is saved" if saved == self.session.step else f"what came after step {saved} is lost"
        kept = "nothing was saved" if saved is None else late
        return f"Stopped at once: {kept}. {way_on(run)}\n"

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def _note(text: str) -> None:
    """Write to stderr; not by print, for the signal may have come while its buffer was being written.

    A terminal that hung up takes no words: what else is said goes nowhere, so that it cannot stop the saving.
    """
    try:
        os.write(2, text.encode())
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.dup2(nowhere, 1)
        os.close(nowhere)
