"""Alarms: numbers that say while there is time that a training goes wrong, though its loss falls.

A family returns them from `alarms()`. They are read between steps, on the host, and move nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Alarm", "Seen", "below"]


@dataclasses.dataclass(frozen=True)
class Seen:
    """What an alarm looks at, at the end of an epoch.

    Attributes:
        logged: the epoch's means of losses and metrics, held-out ones as `val_…` where they were measured.
        rows: returns a batch of at most 256 training samples, the same at each look: "x", and what else a batch has.
    """

    logged: Mapping[str, float]
    rows: Callable[[], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Alarm:
    """One number, and when it says that something is wrong.

    Attributes:
        name: of the number, such as "active_units"; no other alarm of the model has it.
        value: returns the number, None where there is none now. The model has the weights of the moment.
        sounds: whether the numbers so far, the newest last, are those of a training that goes wrong. Healthy ones, also
            short ones and young ones, must not be taken for such.
        meaning: what it then means, a sentence without a full stop, such as "the codes say nothing of the samples".
        mend: what helps, a sentence.
        every: steps between two looks; each is at the end of an epoch.
    """

    name: str
    value: Callable[[Seen], float | None]
    sounds: Callable[[Sequence[float]], bool]
    meaning: str
    mend: str
    every: int = 200


def below(floor: float, looks: int = 2) -> Callable[[Sequence[float]], bool]:
    """Return a rule that sounds when the last numbers were all below what healthy trainings keep.

    Args:
        floor: what healthy trainings keep.
        looks: how many numbers must be below; more forgive a bad beginning.
    """
    return lambda values: len(values) >= looks and all(value < floor for value in values[-looks:])
