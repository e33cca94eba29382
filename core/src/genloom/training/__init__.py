"""Training: settings, state, schedules, callbacks and the trainer; names are imported when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloom.training.cadence import Every
    from genloom.training.schedules import WarmupSchedule
    from genloom.training.settings import INHERITED, TrainingSettings
    from genloom.training.trainer import train
    from genloom.training.writing import write_run

__all__ = ["INHERITED", "Every", "TrainingSettings", "WarmupSchedule", "train", "write_run"]

_HOMES = {
    "INHERITED": "settings",
    "Every": "cadence",
    "TrainingSettings": "settings",
    "WarmupSchedule": "schedules",
    "train": "trainer",
    "write_run": "writing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
