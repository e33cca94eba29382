"""What a run has learned from: its own data, and those of the runs that its weights come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import genloom
from genloom.errors import ConfigError, DataError, GenLoomError
from genloom.runs import Run, open_run
from genloom.runs.lineage import UPDATES

if TYPE_CHECKING:
    from genloom.data import Dataset, Split
    from genloom.model import Start

__all__ = ["ancestors", "earlier", "old_data"]


def ancestors(run: Run) -> list[Run]:
    """Return the run and those that its weights come from, the oldest first.

    Raises:
        ConfigError: one of them is gone, or they come from each other in a circle.
    """
    found, seen = [run], {run.path.resolve()}
    while (before := found[-1].config.get("training", {}).get("init_from")) is not None:
        found.append(open_run(_place(found[-1], Path(before)), head=False))
        place = found[-1].path.resolve()
        if place in seen:
            raise ConfigError(
                f"Runs come from each other in a circle: {' ← '.join(str(each.path) for each in found)}.",
                mend="Mend init_from in the run.toml of one of them.",
            )
        seen.add(place)
    return found[::-1]


def _place(run: Run, before: Path) -> Path:
    """Return where a run's predecessor is: where it was, or beside an update that was moved with its run."""
    if before.exists() or run.path.parent.name != UPDATES:
        return before
    return run.path.parent / before.name if before.parent.name == UPDATES else run.path.parent.parent


def old_data(run: Run) -> list[Dataset]:
    """Open what a run and its ancestors were trained on, each data set once; [] where none of them names any.

    Raises:
        ConfigError: an ancestor is gone, or they come from each other in a circle.
        DataError: data that cannot be opened, or that changed since the training.
    """
    named = [each for each in ancestors(run) if each.config["data"].get("address")]
    stated = {each.config["data"]["fingerprint"]: each for each in named}
    found = []
    for fingerprint, each in stated.items():
        address = each.address
        try:
            dataset = genloom.data.open(address)
        except GenLoomError as error:
            raise DataError(f"The data of {str(each.path)!r} cannot be opened again: {error}") from error
        if dataset.fingerprint != fingerprint:
            raise DataError(
                f"The data at {address!r} changed since {str(each.path)!r} was trained.", mend="Restore them."
            )
        found.append(dataset)
    return found


def earlier(start: Start, remedy: str) -> tuple[Split, ...]:
    """Return the training samples that a training's start has learned from, one split for each data set.

    Args:
        start: where the training begins.
        remedy: what asks for them.

    Raises:
        ConfigError: one of the runs is gone, or they come from each other in a circle.
        DataError: there are none, or they changed since.
    """
    found = [] if start.run is None else old_data(start.run)
    if not found:
        run = None if start.run is None else str(start.run.path)
        raise DataError(
            f"{remedy} needs earlier training data: {run!r} names none.",
            mend="Start from a run that was trained on data with an address, or take l2sp or lwf.",
        )
    return tuple(dataset.train for dataset in found)
