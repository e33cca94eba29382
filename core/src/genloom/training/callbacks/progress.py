"""Progress on stderr: a bar with rate and time left on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

import keras

from genloom.messages import shown
from genloom.training.callbacks.log import losses
from genloom.training.session import Session

__all__ = ["Progress"]

_SECONDS_BETWEEN_READINGS = 0.5  # reading a loss waits for the device
_BAR_WIDTH = 16  # characters: of 80, half are left for the losses


class Progress(keras.callbacks.Callback):
    """Show how far a training is."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        asked = session.settings.progress
        self.style = asked if asked != "auto" else ("bar" if sys.stderr.isatty() else "lines")
        self.bar: Any = None
        self.read_at = 0.0
        self.said: set[str] = set()
        session.say = self.say

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the bar."""
        if self.style == "bar":
            self.bar = _bar()
            told = "preparing the first step …"  # which the engine compiles or records, for seconds or minutes
            self.task = self.bar.add_task(told, total=self.session.plan.total_steps, completed=self.session.step)
            self.bar.start()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move the bar."""
        now = time.perf_counter()
        if self.bar is not None and now - self.read_at > _SECONDS_BETWEEN_READINGS:
            self.read_at = now
            self._move(self.session.plan.epoch_of(self.session.step - 1), logs)

    def on_test_begin(self, logs: Any = None) -> None:
        """Say that training waits for the held-out losses."""
        self.say("measuring held-out losses")

    def say(self, what: str) -> None:
        """Say what runs between steps: in the bar, else once, for the first time compiles and so takes longest."""
        if self.bar is not None:
            self.bar.update(self.task, completed=self.session.step, description=f"{what} …")
        elif self.style == "lines" and what not in self.said:
            self.said.add(what)
            print(f"step {self.session.step}/{self.session.plan.total_steps}  {what} …", file=sys.stderr, flush=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's line, or move the bar."""
        if self.style == "lines":
            plan = self.session.plan
            head = f"epoch {epoch + 1}/{plan.epochs}  step {self.session.step}/{plan.total_steps}"
            print(shown(f"{head}  {self.session.seconds:.1f} s  {_numbers(logs)}"), file=sys.stderr, flush=True)
        elif self.bar is not None:
            self._move(epoch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was; safe to call twice."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _move(self, epoch: int, logs: Any) -> None:
        text = f"epoch {epoch + 1}/{self.session.plan.epochs}  {_numbers(_losses_first(logs))}"
        self.bar.update(self.task, completed=self.session.step, description=text)


def _losses_first(logs: Any) -> dict[str, Any]:
    """Order the numbers so that a narrow terminal cuts off what matters least."""
    return dict(sorted((logs or {}).items(), key=lambda item: not item[0].endswith("loss")))


def _numbers(logs: Any) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in losses(logs).items())


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.1f} steps/s")

    # Only the description gives way on a narrow terminal; a line that wraps would be drawn again and again.
    whole, cut = Column(no_wrap=True), Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        BarColumn(_BAR_WIDTH),
        MofNCompleteColumn(table_column=whole),
        Rate(table_column=whole.copy()),
        TimeRemainingColumn(table_column=whole.copy()),
        TextColumn("{task.description}", table_column=cut),
    )
    return Progress(*columns, expand=True, console=Console(stderr=True))
