"""RUN/samples/epoch-0001.png, or .txt: the same samples drawn again as training goes on, and real pictures once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from genloom.data import drawn_over_classes
from genloom.errors import RunError
from genloom.files.atomic import write_atomic
from genloom.messages import tell
from genloom.modalities import modality_of, picture, pictured
from genloom.modalities.drawing import to_bytes
from genloom.modalities.writing import write
from genloom.postprocess import Origin, chain
from genloom.training.cadence import Every
from genloom.training.session import Session

if TYPE_CHECKING:
    from genloom.data.samples import Samples

__all__ = ["SampleGrid"]

_FEWEST = 8  # samples in a picture, unless fewer are asked for


class SampleGrid(keras.callbacks.Callback):
    """Draw samples with the same seeds every time; keep a picture, or the text that the run's post-processors make.

    Args:
        session: the training.
        split: real samples to show beside.
        seed: of the samples.
    """

    def __init__(self, session: Session, split: Any, seed: int) -> None:
        super().__init__()
        self.session, self.split, self.seed = session, split, seed
        self.pictures = pictured(session.model.spec)
        shown = self.pictures or bool(session.settings.post)
        self.due = Every(session.settings.sample_every if shown else 0)
        self.count = _count(session)

    def on_train_begin(self, logs: Any = None) -> None:
        """Draw the real samples once."""
        path = self.session.run.path / "samples" / "real.png"
        if self.pictures and self.due.period and not path.exists():
            real = self.split.take(drawn_over_classes(self.split, self.session.settings.sample_count))
            image = picture(real["x"], self.session.model.spec, labels=real.get("label"))
            write_atomic(path, to_bytes(image))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Draw, where an epoch is due; samples that cannot be shown are no reason to end the training."""
        from genloom.sampling.drawing import draw_samples

        last = self.session.step >= self.session.plan.total_steps
        if not (self.due(epoch + 1) or (last and self.due.period)):
            return
        self.session.say(f"drawing {self.count} samples")
        try:
            drawn = draw_samples(self.session.model, self.count, self.seed)
        except RunError as error:
            tell(f"no samples of epoch {epoch + 1}: {error}")
            return
        file = self.session.run.path / "samples" / f"epoch-{epoch + 1:04d}"
        if not self.pictures:
            self._write_texts(drawn, file.with_suffix(".txt"))
            return
        image = picture(drawn.samples, drawn.spec, labels=drawn.labels)
        write_atomic(file.with_suffix(".png"), to_bytes(image))
        _show_in_notebook(image)

    def _write_texts(self, drawn: Samples, file: Path) -> None:
        """Write what the run's post-processors make of samples without a picture, where that is written as text."""
        made = chain(self.session.settings.post)(drawn, Origin(self.session.run, lambda: self.session.model))
        if modality_of(made.spec).ending(made) == file.suffix:
            write(made, file)


def _count(session: Session) -> int:
    """Return how many samples a picture has: fewer where drawing them took longer than the whole of a short trial."""
    seen = session.plan.total_steps * session.settings.batch_size
    affordable = seen // (session.model.evaluations() or 1)
    return min(session.settings.sample_count, max(_FEWEST, affordable))


def _show_in_notebook(image: Any) -> None:
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    if shell and hasattr(shell, "kernel"):
        from IPython.display import display

        display(image)
