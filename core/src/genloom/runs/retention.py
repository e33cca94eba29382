"""Which checkpoints of a run may be deleted, and their deletion, when a person asks for it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.errors import ConfigError, RunError
from genloom.files.atomic import writing
from genloom.runs import pruning
from genloom.runs.checkpoint import load
from genloom.runs.lock import held_elsewhere, holder

if TYPE_CHECKING:
    from genloom.runs.directory import Run

__all__ = ["Retention", "carry_out", "plan"]

#: What a training keeps by default.
_DEFAULTS = {"keep": pruning.LEAST_KEPT, "best": "", "best_mode": "min"}


@dataclasses.dataclass(frozen=True)
class Retention:
    """What becomes of the checkpoints of one run.

    Attributes:
        run: the run.
        kept: folders that stay, lowest step first.
        removed: folders that go, or have gone.
        bytes: what those take on the disk.
        why: why nothing goes from a run that is left alone, else None.
    """

    run: Run
    kept: tuple[Path, ...] = ()
    removed: tuple[Path, ...] = ()
    bytes: int = 0
    why: str | None = None


def plan(run: Run, keep: int | None = None, best: str | None = None, best_mode: str | None = None) -> Retention:
    """Choose: the newest `keep` whole checkpoints stay, what is newer than the oldest of them, and the best one.

    Args:
        run: the run to look at; nothing in it is changed.
        keep: how many of the newest stay, two at least; by default as many as its training keeps.
        best: number in the manifests' "metrics" whose best checkpoint stays; by default the one that its training
            keeps by, else val_loss.
        best_mode: "min" or "max"; by default as in its training.

    Raises:
        ConfigError: the folder is no run, or an impossible number or mode.
    """
    config = run.config
    trained = {name: _stated(config, name, default) for name, default in _DEFAULTS.items()}
    least = trained["keep"] if keep is None else keep
    if least < pruning.LEAST_KEPT:
        raise ConfigError(f"At least {pruning.LEAST_KEPT} checkpoints are kept, for one may be damaged; got {least}.")
    if holder(run.path) is not None:
        why = held_elsewhere(run.path) or "it is being written"
        return Retention(run, tuple(run.checkpoints()), why=why)
    folders = run.checkpoints()
    oldest = _oldest_kept(folders, least)
    if oldest is None:
        return Retention(run, tuple(folders), why="no checkpoint is whole" if folders else None)
    asked = best or trained["best"]
    top = run.best(asked or "val_loss", best_mode or trained["best_mode"])
    if asked and top is None:
        return Retention(run, tuple(folders), why=f"no checkpoint states {asked!r}")
    stay = {*folders[folders.index(oldest) :], top}
    removed = tuple(folder for folder in folders if folder not in stay)
    return Retention(run, tuple(f for f in folders if f in stay), removed, sum(map(_size, removed)))


def carry_out(planned: Retention) -> Retention:
    """Delete what the plan says, and what killed processes left behind; a run that is being written is left alone.

    Raises:
        RunError: the disk refused.
    """
    run = planned.run
    if planned.why is not None:
        return planned
    try:
        with run.lock():
            pruning.sweep(run.path / "checkpoints")
            for folder in planned.removed:
                with writing(folder):
                    pruning.remove(folder)
    except ConfigError:
        return Retention(run, tuple(run.checkpoints()), why="it is being written")
    return dataclasses.replace(planned, kept=tuple(run.checkpoints()))


def _stated(config: Mapping[str, Any], name: str, default: Any) -> Any:
    """Return a setting that run.toml states, the default where it is of another type."""
    training = config.get("training")
    value = training.get(name, default) if isinstance(training, dict) else default
    return value if isinstance(value, type(default)) else default


def _oldest_kept(folders: list[Path], most: int) -> Path | None:
    """Return the oldest of the newest checkpoints, so many at most, that can be read to their last byte."""
    whole = (folder for folder in reversed(folders) if _is_whole(folder))
    return min(itertools.islice(whole, most), default=None)


def _is_whole(folder: Path) -> bool:
    try:
        load(folder)
    except RunError:
        return False
    return True


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
