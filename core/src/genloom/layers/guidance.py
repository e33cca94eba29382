"""Classifier-free guidance: hide labels while training, extrapolate from the unlabelled prediction while sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

__all__ = ["guided", "hide_labels"]


def hide_labels(label: Any, uniform: Any, rate: float, null: int) -> Any:
    """Replace a share `rate` of labels (n,) by the number that means "none" (Ho and Salimans 2022, algorithm 1)."""
    return ops.where(uniform < rate, null, ops.cast(label, "int32"))


def guided(
    predict: Callable[[Any, Any, Any], Any], scale: float, null: int, within: Callable[[Any], Any] | None = None
) -> Callable[[Any, Any, Any], Any]:
    """Return a prediction pushed from the unlabelled one by `scale` (Ho and Salimans 2022, eq. 6, with w = scale - 1).

    Args:
        predict: `predict(z, t, label)` -> output (n, …).
        scale: 1 leaves the prediction as it is and costs nothing; 0 is unconditional.
        null: the label that means "none".
        within: whether it acts at times t (n,), as booleans (n,); None for always.
    """
    if scale == 1.0:
        return predict

    def push(z: Any, t: Any, label: Any) -> Any:
        no_label = ops.zeros_like(label) + null  # full_like() reads its value on the host on torch: no capture
        both = predict(ops.concatenate([z, z]), ops.concatenate([t, t]), ops.concatenate([label, no_label]))
        with_label, without = ops.split(both, 2)
        strength = scale
        if within is not None:
            strength = ops.reshape(ops.where(within(t), scale, 1.0), (-1,) + (1,) * (len(z.shape) - 1))
        return without + strength * (with_label - without)

    return push
