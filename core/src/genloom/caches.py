"""Where GenLoom keeps what it can make again: one private folder per user."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import platformdirs

from genloom.runs.files import tell

__all__ = ["cache_directory", "folder_to_keep"]

_ROOM = 2**26  # bytes: engines warn at every entry that a full disk refuses


def cache_directory(name: str) -> Path:
    """Return the folder `name` in GENLOOM_CACHE, or in the user's own cache, made with mode 0700 when absent.

    Raises:
        OSError: it can neither be made nor be made private.
    """
    chosen = os.environ.get("GENLOOM_CACHE")
    root = Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("genloom", appauthor=False))
    folder = root / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # what others can write, others can falsify
    return folder


def folder_to_keep(compiled_by: str) -> Path | None:
    """Return where an engine may keep what it compiles, None when it cannot; a line on stderr then says why."""
    try:
        folder = cache_directory(compiled_by)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        tell(f"{compiled_by} compiles anew in every process: {error}")
        return None
    if free < _ROOM:
        tell(f"{compiled_by} compiles anew in every process: only {free >> 20} MiB are free at {str(folder)!r}.")
        return None
    return folder
