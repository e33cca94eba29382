"""Sounds to listen to: RUN/samples/sounds.wav, drawn when a training ends."""

from __future__ import annotations

from typing import Any

import keras

import genloom
from genloom.errors import GenLoomError
from genloom.files.atomic import make_folder, write_atomic
from genloom.messages import tell
from genloom.runs import Run
from genloom_audio.modality import wav

__all__ = ["FILE", "SHOWN", "KeepSounds"]

FILE = "sounds.wav"
SHOWN = 8  # sounds of a report


class KeepSounds(keras.callbacks.Callback):
    """Keep eight sounds of the trained weights for the report.

    Args:
        run: the training run.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep: nothing."""
        return {}

    def on_train_end(self, logs: Any = None) -> None:
        """Draw; sounds that cannot be drawn are no reason to fail the training."""
        try:
            drawn = genloom.sample(self.model, SHOWN, 0)
        except GenLoomError as error:
            tell(f"no sounds for the report: {error}")
            return
        folder = self.run.path / "samples"
        make_folder(folder)
        write_atomic(folder / FILE, wav(drawn.samples, drawn.spec))
