"""RUN/tensorboard: the log's numbers as TensorBoard reads them, written without TensorFlow."""

from __future__ import annotations

from typing import Any

import keras

from genloom.errors import ConfigError
from genloom.training.callbacks.log import losses
from genloom.training.session import Session

__all__ = ["TensorBoard"]


class TensorBoard(keras.callbacks.Callback):
    """Write each epoch's numbers and rates as scalars by step.

    Raises:
        ConfigError: tensorboardX is not installed.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ConfigError(
                "tensorboard=true needs tensorboardX, which is not installed.", mend="pip install tensorboardX"
            ) from None
        self.session = session
        self.writer = SummaryWriter(str(session.run.path / "tensorboard"), purge_step=session.step or None)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write one point of every curve."""
        rates = {f"rate/{phase}": rate for phase, rate in self.session.model.optimizer.rates().items()}
        for name, value in {**losses(logs), **rates}.items():
            self.writer.add_scalar(name, value, self.session.step)
        self.writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Close the file."""
        self.writer.close()
