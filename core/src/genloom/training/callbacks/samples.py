"""RUN/samples/epoch-0001.png: the same samples drawn again as training goes on, and real ones beside them once."""

from __future__ import annotations

import sys
from typing import Any

import keras

from genloom.errors import RunError
from genloom.report.pictures import drawable, picture
from genloom.runs.files import tell
from genloom.training.cadence import Every
from genloom.training.session import Session

__all__ = ["SampleGrid"]


class SampleGrid(keras.callbacks.Callback):
    """Draw a picture of samples, with the same seeds every time; show it in a notebook.

    Args:
        session: the training.
        split: real samples to show beside.
        seed: of the samples.
    """

    def __init__(self, session: Session, split: Any, seed: int) -> None:
        super().__init__()
        self.session, self.split, self.seed = session, split, seed
        self.due = Every(session.settings.sample_every if drawable(session.model.spec) else 0)

    def on_train_begin(self, logs: Any = None) -> None:
        """Draw the real samples once."""
        path = self.session.run.path / "samples" / "real.png"
        if self.due.period and not path.exists():
            real = self.split.arrays(self.session.settings.sample_count)["x"]
            picture(real, self.session.model.spec).save(path)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Draw, where an epoch is due; samples that cannot be shown are no reason to end the training."""
        from genloom.sampling import draw_samples

        last = self.session.step >= self.session.plan.total_steps
        if not (self.due(epoch + 1) or (last and self.due.period)):
            return
        try:
            drawn = draw_samples(self.session.model, self.session.settings.sample_count, self.seed)
        except RunError as error:
            tell(f"no picture of epoch {epoch + 1}: {error}")
            return
        image = picture(drawn.samples, drawn.spec)
        image.save(self.session.run.path / "samples" / f"epoch-{epoch + 1:04d}.png")
        _show_in_notebook(image)


def _show_in_notebook(image: Any) -> None:
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    if shell and hasattr(shell, "kernel"):
        from IPython.display import display

        display(image)
