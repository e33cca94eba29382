"""Watch during training whether the flow can be inverted in float32, and draw the density of data in the plane."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
from keras import ops

from third_party_flow.model import Flow

__all__ = ["Inversion"]

SIDE = 240  # pixels of the picture of the density
POINTS = 256  # noise vectors that are sent to data and back


class Inversion(keras.callbacks.Callback):
    """Write RUN/flow.json after every epoch: the largest |z - encode(decode(z))| over fixed noise.

    Args:
        run: the training run.
    """

    def __init__(self, run: Any) -> None:
        super().__init__()
        self.run: Any = run
        self.errors: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measure the error, and draw."""
        if not isinstance(self.model, Flow):
            return
        self.model.sync_state()
        self.errors.append(self._error())
        (self.run.path / "flow.json").write_text(json.dumps({"errors": self.errors}))
        if self.model.spec.shape == (2,) and self.model.spec.value_range is None:
            self._picture().save(self.run.path / "flow-density.png")

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"errors": self.errors}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what `get_state` gave."""
        self.errors = [float(error) for error in state["errors"]]

    def _error(self) -> float:
        z = np.random.default_rng(0).standard_normal((POINTS, *self.model.spec.shape)).astype("float32")
        if self.model.spec.value_range is not None:
            z = 0.5 * z  # bounded data end somewhere, and noise beyond has no way back
        again = ops.convert_to_numpy(self.model.encode(self.model.decode(z)))
        return float(np.abs(again - z).max())

    def _picture(self) -> Any:
        """Draw p(x) over [-2.5, 2.5]², dark where it is high."""
        from PIL import Image

        axis = np.linspace(-2.5, 2.5, SIDE, dtype="float32")
        plane = np.stack(np.meshgrid(axis, axis[::-1]), axis=-1).reshape(-1, 2)
        p = np.exp(ops.convert_to_numpy(self.model.log_prob(plane))).reshape(SIDE, SIDE)
        shade = np.sqrt(p / p.max())  # a square root shows what is thin, too
        return Image.fromarray(np.rint(255 * (1.0 - shade)).astype(np.uint8))
