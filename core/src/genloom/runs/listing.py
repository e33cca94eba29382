"""The table behind `genloom runs`: every run under a folder, one row each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genloom.errors import ConfigError, ForbiddenError, RunError
from genloom.messages import tell
from genloom.runs.directory import LOG, Run
from genloom.runs.lock import held_elsewhere
from genloom.runs.log import lines
from genloom.runs.stretches import history

__all__ = ["list_runs", "runs_below"]

DEEPEST = 3  # levels of folders searched below the one named


def list_runs(directory: str | Path) -> list[dict[str, Any]]:
    """Return one row per run in `directory` and the folders below it, ordered by path.

    Returns:
        Rows with "path" (str), "id" (model), "data", "engine", "seed", "step" (last logged), "steps"
        (planned, None when unknown), "saved" (step of the newest checkpoint, None without any), "losses" (last
        logged), "seconds", "scored" (step that was measured, None without any), "outdated" (whether the run was trained
        further since), "history" (what changed while it was trained, None where nothing did) and "status": finished,
        interrupted, running, forbidden where this user may not read a file of it or enter the folder, run or not, or
        damaged where run.toml or the log cannot be used, of which stderr says why, or the checkpoint of a finished run
        is gone.

    Raises:
        ConfigError: `directory` is not a folder.
    """
    return [_row(run.path) for run in runs_below(directory)]


def runs_below(directory: str | Path) -> list[Run]:
    """Return the run in `directory`, or those in the folders below it, ordered by path.

    Raises:
        ConfigError: `directory` is not a folder.
    """
    root = Path(directory)
    if not root.is_dir():
        raise ConfigError(f"{str(root)!r} is not a folder.", mend="Name the folder that holds the runs.")
    return [Run(path) for path in sorted(_run_folders(root))]


def _run_folders(root: Path) -> Iterator[Path]:
    closed: list[Path] = []
    for folder, below, files in os.walk(root, onerror=lambda error: _passed_over(error, closed)):
        depth = len(Path(folder).relative_to(root).parts)
        if "run.toml" in files:
            yield Path(folder)
            below.clear()
        elif depth >= DEEPEST:
            below.clear()
        below[:] = [name for name in below if not name.startswith(".")]
    yield from filter(_perhaps_run, closed)


def _perhaps_run(folder: Path) -> bool:
    try:
        return Run(folder).exists
    except ForbiddenError:
        return True


def _passed_over(error: OSError, closed: list[Path]) -> None:
    """Keep a folder that may not be searched; tell of one that cannot be for another reason."""
    if isinstance(error, PermissionError):
        closed.append(Path(os.fsdecode(error.filename)))
    else:
        tell(f"{str(error.filename)!r} cannot be searched for runs: {error.strerror}.")


def _row(path: Path) -> dict[str, Any]:
    run = Run(path)
    row: dict[str, Any] = {"path": str(path), "id": None, "data": None, "engine": None, "seed": None}
    row |= {"step": 0, "steps": None, "saved": None, "losses": {}, "seconds": 0.0, "scored": None, "outdated": False}
    row |= {"history": None, "status": "damaged"}
    try:
        row |= _stated(run)
        row |= {"saved": run.saved_step, **_scores(run)}
        status, whole = run.status, _logged(run, row)
        row["status"] = status if whole else "damaged"
        if status == "running" and (held := held_elsewhere(path)):
            tell(f"{str(path)!r}: {held}")
    except ForbiddenError as error:
        row["status"] = "forbidden"
        tell(str(error))
    except (ConfigError, RunError, OSError) as error:  # of this run; the others are listed as they are
        tell(str(error))
    return row


def _stated(run: Run) -> dict[str, Any]:
    """Return what run.toml says.

    Raises:
        DamagedRunError: it cannot be read.
    """
    config = run.config
    model, data, training, versions = (config.get(key, {}) for key in ("model", "data", "training", "versions"))
    row = {"id": model["id"], "data": data.get("address"), "seed": training.get("seed", model.get("seed"))}
    row["engine"] = training.get("backend") or versions.get("backend")
    return {**row, "steps": run.planned_steps, "history": history(config)}


def _logged(run: Run, row: dict[str, Any]) -> bool:
    """Put what was logged last into the row, and say whether every line could be read."""
    whole = True
    for entry in lines(run.path / LOG):
        whole = whole and entry is not None
        for name in ("step", "seconds", "losses"):
            row[name] = (entry or {}).get(name) or row[name]
    return whole


def _scores(run: Run) -> dict[str, Any]:
    try:
        return {"scored": run.scored_step, "outdated": run.outdated}
    except RunError:  # a damaged metrics.json, which is measured again
        return {}
