"""The alarm that every model has which measures a held-out loss: that loss has turned, and rises for good."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from genloom.model.alarm import Alarm, Seen

__all__ = ["turned", "turned_loss"]

_LOSS = "val_loss"
_MEASURED = 5  # measurements of which the median is a level, and that must all be above the best level: one is chance
_SHARE = 0.1  # of what the loss fell in all: less is no rise to speak of
_NOISE = 6.0  # times the usual change between two: a loss that only jitters never rises so far, whatever its level
_RECENT = 20  # changes that say what is usual


def turned(values: Sequence[float]) -> bool:
    """Say whether numbers have fallen and then risen, beyond what their own noise does.

    Args:
        values: held-out losses in the order they were measured, all of them.
    """
    levels = [statistics.median(values[i - _MEASURED : i]) for i in range(_MEASURED, len(values) + 1)]
    best = min(levels, default=0.0)
    if not levels or len(levels) - 1 - levels.index(best) < _MEASURED:
        return False
    usual = statistics.median(abs(after - before) for before, after in itertools.pairwise(values[-_RECENT:]))
    return min(values[-_MEASURED:]) - best > max(_SHARE * (values[0] - best), _NOISE * usual)


def turned_loss() -> Alarm:
    """Return the alarm of a held-out loss that has turned."""
    return Alarm(
        _LOSS,
        _held_out_loss,
        turned,
        "the held-out loss has been lower and rises: what is learnt does not hold for other samples",
        "Keep the best weights (--set training.best=val_loss), stop there (--patience N), or take more data.",
        every=1,
    )


def _held_out_loss(seen: Seen) -> float | None:
    return seen.logged.get(_LOSS)
