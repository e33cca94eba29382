"""Several runs read together: one that is damaged is told of and left out, and the others are read as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from genloom.errors import ForbiddenError, RunError
from genloom.messages import tell
from genloom.runs.directory import Run

__all__ = ["usable"]

T = TypeVar("T")


def usable(runs: Iterable[Run | str | Path], read: Callable[[Run | str | Path], T]) -> tuple[list[T], dict[str, str]]:
    """Return what `read` makes of each run that is whole, and path → what is wrong with each of the others.

    Raises:
        RunError: all are damaged.
    """
    found: list[T] = []
    damaged: dict[str, str] = {}
    forbidden: set[str] = set()
    for run in runs:
        try:
            found.append(read(run))
        except RunError as error:
            path = str(run.path if isinstance(run, Run) else run)
            damaged[path] = error.message
            if isinstance(error, ForbiddenError):
                forbidden.add(path)
            failure = error
    if not found and damaged:
        raise failure
    for path, message in damaged.items():
        tell(f"{path!r} is {'' if path in forbidden else 'damaged and '}left out. {message}")
    return found, damaged
