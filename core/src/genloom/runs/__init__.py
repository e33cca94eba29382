"""Run directories and their checkpoints, readable without Keras."""

from __future__ import annotations

from genloom.runs.checkpoint import load, load_latest, save
from genloom.runs.directory import Run, create_run, open_run
from genloom.runs.listing import list_runs
from genloom.runs.lock import RunLock

__all__ = ["Run", "RunLock", "create_run", "list_runs", "load", "load_latest", "open_run", "save"]
