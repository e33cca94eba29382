"""Learning rates over time: warm-up, then constant, cosine or linear; on tensors, so that steps can be captured."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from genloom.errors import ConfigError, nearest

__all__ = ["WarmupSchedule"]

_SHAPES = ("constant", "cosine", "linear")


@keras.saving.register_keras_serializable(package="genloom")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Rise linearly from zero, then stay, fall along half a cosine (Loshchilov and Hutter 2017, eq. 5) or a line.

    Args:
        rate: the highest rate.
        shape: "constant", "cosine" or "linear"; the last two reach zero at `total_steps`.
        warmup_steps: updates of the rise; update k (from 0) has rate · (k + 1) / warmup_steps.
        total_steps: updates in all, rise included.

    Raises:
        ConfigError: an unknown shape, or no update left after the rise.
    """

    def __init__(self, rate: float, shape: str = "constant", warmup_steps: int = 0, total_steps: int = 0) -> None:
        super().__init__()
        if shape not in _SHAPES:
            raise ConfigError(f"schedule must be one of {', '.join(_SHAPES)}, got {shape!r}.{nearest(shape, _SHAPES)}")
        if shape != "constant" and total_steps <= warmup_steps:
            raise ConfigError(f"{warmup_steps} warm-up steps leave none of {total_steps} for the {shape} schedule.")
        self.rate, self.shape = float(rate), shape
        self.warmup_steps, self.total_steps = int(warmup_steps), int(total_steps)

    def __call__(self, step: Any) -> Any:
        """Return the float32 rate of update `step`, an integer or an int32 scalar tensor."""
        t = ops.cast(step, "float32")
        falling = self._falling(t)
        if not self.warmup_steps:
            return self.rate * falling
        rising = (t + 1.0) / float(self.warmup_steps)
        return self.rate * ops.where(t < float(self.warmup_steps), rising, falling)

    def _falling(self, t: Any) -> Any:
        """Share of the highest rate after the rise."""
        if self.shape == "constant":
            return ops.ones_like(t)
        length = float(self.total_steps - self.warmup_steps)
        progress = ops.clip((t - float(self.warmup_steps)) / length, 0.0, 1.0)
        return 1.0 - progress if self.shape == "linear" else 0.5 * (1.0 + ops.cos(math.pi * progress))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "rate": self.rate,
            "shape": self.shape,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }
