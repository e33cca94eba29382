"""Where GenLoom keeps what it can make again: one private folder per user."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import platformdirs

from genloom.messages import tell

__all__ = ["cache_directory", "folder_to_keep"]

_ROOM = 2**26  # bytes: engines warn at every entry that a full disk refuses


def cache_directory(name: str) -> Path:
    """Return the folder `name` in GENLOOM_CACHE, or in the user's own cache, made with mode 0700 when absent.

    Raises:
        OSError: it can neither be made nor be made private, or is another user's or a link.
    """
    chosen = os.environ.get("GENLOOM_CACHE")
    root = Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("genloom", appauthor=False))
    folder = root / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "O_NOFOLLOW"):  # elsewhere there are neither owners nor modes of this kind
        _check_owner(root.stat().st_uid, root, os.geteuid(), 0)
        _make_private(folder)
    return folder


def _make_private(folder: Path) -> None:
    """Take the rights of others from a folder of ours: what others can write, others can falsify.

    Raises:
        OSError: it is a link, whose target is none of our business, or another user's, which root alone could open.
    """
    if folder.is_symlink():
        raise PermissionError(errno.EPERM, "it is a link", str(folder))
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _check_owner(os.fstat(handle).st_uid, folder, os.geteuid())
        os.fchmod(handle, 0o700)
    finally:
        os.close(handle)


def _check_owner(owner: int, folder: Path, *allowed: int) -> None:
    if owner not in allowed:
        raise PermissionError(errno.EPERM, "it belongs to another user", str(folder))


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
