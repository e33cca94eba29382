"""The table behind `genloom runs`: every run under a folder, one row each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genloom.errors import ConfigError, RunError
from genloom.runs.directory import Run
from genloom.runs.stretches import history

__all__ = ["list_runs"]

DEEPEST = 3  # levels of folders searched below the one named


def list_runs(directory: str | Path) -> list[dict[str, Any]]:
    """Return one row per run in `directory` and the folders below it, ordered by path.

    Returns:
        Rows with "path" (str), "id" (model), "data", "engine", "seed", "step" (last logged), "steps"
        (planned, None when unknown), "saved" (step of the newest checkpoint, None without any), "losses" (last
        logged), "seconds", "scored" (step that was measured, None without any), "outdated" (whether the run was trained
        further since), "history" (what changed while it was trained, None where nothing did) and "status": finished,
        interrupted, running, or damaged where run.toml cannot be read or the checkpoint of a finished run is gone.

    Raises:
        ConfigError: `directory` is not a folder.
    """
    root = Path(directory)
    if not root.is_dir():
        raise ConfigError(f"{str(root)!r} is not a folder.", mend="Name the folder that holds the runs.")
    return [_row(path) for path in sorted(_run_folders(root))]


def _run_folders(root: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        if "run.toml" in files:
            yield Path(folder)
            below.clear()
        elif depth >= DEEPEST:
            below.clear()
        below[:] = [name for name in below if not name.startswith(".")]


def _row(path: Path) -> dict[str, Any]:
    run = Run(path)
    row: dict[str, Any] = {"path": str(path), "id": None, "data": None, "engine": None, "seed": None}
    row |= {"step": 0, "steps": None, "saved": None, "losses": {}, "seconds": 0.0, "scored": None, "outdated": False}
    row |= {"history": None, "status": "damaged"}
    try:
        config = run.config
    except ConfigError:
        return row
    model, data, training = (_table(config, key) for key in ("model", "data", "training"))
    row |= {"id": model.get("id"), "data": data.get("address"), "seed": training.get("seed", model.get("seed"))}
    row["engine"] = training.get("backend") or _table(config, "versions").get("backend")
    row["history"] = history(config)
    row |= {"steps": run.planned_steps, "saved": run.saved_step, **_scores(run)}
    for entry in run.log():
        row["step"], row["seconds"] = entry.get("step", row["step"]), entry.get("seconds", row["seconds"])
        row["losses"] = entry.get("losses") or row["losses"]
    row["status"] = run.status
    return row


def _scores(run: Run) -> dict[str, Any]:
    try:
        return {"scored": run.scored_step, "outdated": run.outdated}
    except RunError:  # a damaged metrics.json, which is measured again
        return {}


def _table(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}
