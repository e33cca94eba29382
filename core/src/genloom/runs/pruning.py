"""Which checkpoints stay, and what a killed process left behind; two processes may clean at once."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genloom.files.atomic import reading

if TYPE_CHECKING:
    from genloom.runs.directory import Run

__all__ = ["DRAFT", "REPLACED", "hidden", "in_progress", "prune", "remove", "restore", "sweep"]

DRAFT = ".draft-"  # being written
REPLACED = ".replaced-"  # an older checkpoint of the same step, while the new one takes its name
REMOVED = ".removed-"  # being deleted
LEFTOVER = re.compile(r"\.(?:draft|replaced|removed)-(step-\d{8})-(\d+)-[0-9a-f]{8}", re.ASCII)
LEAST_KEPT = 2  # the newest may turn out damaged

_writing: set[Path] = set()


@contextlib.contextmanager
def in_progress(draft: Path) -> Iterator[None]:
    """Protect a draft of this process from `sweep`, and remove it when writing it failed."""
    _writing.add(draft)
    try:
        yield
    finally:
        _writing.discard(draft)
        shutil.rmtree(draft, ignore_errors=True)


def prune(
    run: Run, keep: int = LEAST_KEPT, keep_best: tuple[str, str] | None = None, keep_also: Path | None = None
) -> None:
    """Remove all but the newest checkpoints, the best one, and the one just written.

    Args:
        run: the run to clean.
        keep: how many of the newest stay, two at least.
        keep_best: (metric, "min" or "max") as in `Run.best`.
        keep_also: a folder that stays whatever its step.
    """
    folders = run.checkpoints()
    kept = {*folders[-max(keep, LEAST_KEPT) :], keep_also, run.best(*keep_best) if keep_best else None}
    for folder in folders:
        if folder not in kept:
            remove(folder)


def hidden(prefix: str, folder: Path) -> Path:
    """Return a fresh name beside a checkpoint, which states the writing process and never counts as one."""
    return folder.with_name(f"{prefix}{folder.name}-{os.getpid()}-{secrets.token_hex(4)}")


def restore(checkpoints: Path) -> None:
    """Put back a checkpoint that stepped aside for another of its step, when that one never arrived."""
    for aside, target in _leftovers(checkpoints):
        if aside.name.startswith(REPLACED) and not target.exists():
            with contextlib.suppress(OSError):  # another process was quicker, or the folder is read-only
                os.rename(aside, target)


def sweep(checkpoints: Path) -> None:
    """Remove what dead processes left behind, after `restore`."""
    restore(checkpoints)
    for leftover, _ in _leftovers(checkpoints):
        shutil.rmtree(leftover, ignore_errors=True)


def _leftovers(checkpoints: Path) -> list[tuple[Path, Path]]:
    """Return (hidden folder, the checkpoint it belongs to) of processes that no longer run."""
    with reading(checkpoints):
        if not checkpoints.is_dir():
            return []
        named = [(path, match) for path in checkpoints.iterdir() if (match := LEFTOVER.fullmatch(path.name))]
    dead = [(path, match) for path, match in named if path not in _writing and not _alive(int(match[2]))]
    return [(path, path.with_name(match[1])) for path, match in dead]


def remove(folder: Path) -> None:
    """Delete a checkpoint that loses its name first: half a checkpoint never bears the name of a whole one."""
    doomed = hidden(REMOVED, folder)
    with contextlib.suppress(FileNotFoundError):  # another process was quicker
        os.rename(folder, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _alive(pid: int) -> bool:
    """Say whether another process of that id runs; leftovers of this one are not in use any more."""
    import psutil

    return pid != os.getpid() and psutil.pid_exists(pid)
