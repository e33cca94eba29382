"""Learning rates over time: warm-up, then constant, a fall, or both; on tensors, so that steps can be captured."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from genloom.errors import ConfigError, nearest

__all__ = ["WarmupSchedule", "fitting_warmup"]

_SHAPES = ("constant", "cosine", "linear", "wsd")


def fitting_warmup(warmup_steps: int, total_steps: int, shape: str, decay_share: float) -> int:
    """Return a warm-up for which a training has room: what is asked for or, where that is too long, half of it all.

    Args:
        warmup_steps: steps, or updates, asked for.
        total_steps: those of the whole training.
        shape: as of `WarmupSchedule`; what falls needs room after the rise.
        decay_share: as of `WarmupSchedule`.
    """
    falling = {"constant": 0, "wsd": _decay_steps(total_steps, decay_share)}.get(shape, 1)
    room = max(0, total_steps - falling)
    return warmup_steps if warmup_steps <= room else min(total_steps // 2, room)


def _decay_steps(total_steps: int, decay_share: float) -> int:
    return max(1, round(total_steps * decay_share))


@keras.saving.register_keras_serializable(package="genloom")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Rise linearly from zero, then stay, fall along half a cosine (Loshchilov and Hutter 2017, eq. 5) or a line.

    "wsd" stays and falls in the end only (Hu et al. 2024, section 4): its length need not be known before the fall. It
    falls as 1 - √p, p the share of the fall that is over, which ends lower than a line (Hägele et al. 2024, section 4).

    Args:
        rate: the highest rate.
        shape: "constant", "cosine", "linear" or "wsd"; all but the first reach zero at `total_steps`.
        warmup_steps: updates of the rise; update k (from 0) has rate · (k + 1) / warmup_steps.
        total_steps: updates in all, rise included.
        decay_share: share in (0, 1] of all updates over which "wsd" falls.

    Raises:
        ConfigError: an unknown shape, a share out of range, or no update left after the rise.
    """

    def __init__(
        self,
        rate: float,
        shape: str = "constant",
        warmup_steps: int = 0,
        total_steps: int = 0,
        decay_share: float = 0.2,
    ) -> None:
        super().__init__()
        if shape not in _SHAPES:
            raise ConfigError(f"schedule must be one of {', '.join(_SHAPES)}, got {shape!r}.{nearest(shape, _SHAPES)}")
        if shape != "constant" and total_steps <= warmup_steps:
            raise ConfigError(
                f"{warmup_steps} warm-up steps leave none of {total_steps} for the {shape} schedule.",
                mend="Train for more steps, or warm up for fewer: --set training.warmup_steps=N.",
            )
        if not 0.0 < decay_share <= 1.0:
            raise ConfigError(f"decay_share must lie in (0, 1], got {decay_share}.")
        self.rate, self.shape, self.decay_share = float(rate), shape, float(decay_share)
        self.warmup_steps, self.total_steps = int(warmup_steps), int(total_steps)
        rest = max(1, total_steps - warmup_steps)
        self.fall_steps = _decay_steps(total_steps, decay_share) if shape == "wsd" else rest
        if shape == "wsd" and self.fall_steps > total_steps - warmup_steps:
            raise ConfigError(
                f"{warmup_steps} warm-up steps and {self.fall_steps} of decay are more than {total_steps}.",
                mend="Give less of one: --set training.decay_share=SHARE or --set training.warmup_steps=N.",
            )

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
        progress = ops.clip((t - float(self.total_steps - self.fall_steps)) / float(self.fall_steps), 0.0, 1.0)
        if self.shape == "cosine":
            return 0.5 * (1.0 + ops.cos(math.pi * progress))
        return 1.0 - (progress if self.shape == "linear" else ops.sqrt(progress))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "rate": self.rate,
            "shape": self.shape,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "decay_share": self.decay_share,
        }
