"""One writer per run directory: a lock file that names its owner and dies with it.

The lock itself is filelock's, on a file that is opened here: its own lock files do not refuse links and
devices, and do not name their owner.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from genloom.errors import ConfigError
from genloom.files import bounded
from genloom.files.atomic import open_here, writing

__all__ = ["LOCK_NAME", "RunLock", "held_elsewhere", "holder"]

LOCK_NAME = "run.lock"
RETRIES = 20  # a lock file may vanish between opening and locking it when its owner ends just then
_LONGEST = 255  # characters of a host's name
_HOURS = 48  # from here on an age is told in days
CLOCK_TOLERANCE_SECONDS = 2.0  # start times are read from the kernel's clock ticks


class RunLock:
    """Hold a run for writing, as a context manager; it may be entered again by the same object.

    The operating system holds the lock and drops it when the process ends, however it ends, so a file left
    by a killed process never blocks a resume.

    Args:
        run_path: the run directory, which exists.

    Raises:
        ConfigError: on entering, when another process is writing this run.
        RunError: on entering, when the folder cannot be written to; nothing is held then.
    """

    def __init__(self, run_path: Path) -> None:
        self.path = run_path / LOCK_NAME
        self._handle: int | None = None
        self._depth = 0

    def __enter__(self) -> RunLock:
        if self._depth == 0:
            self._handle = self._acquire()
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0 and self._handle is not None:
            with contextlib.suppress(OSError):  # the lock ends with its handle; a file left behind blocks nobody
                self.path.unlink()
            os.close(self._handle)
            self._handle = None

    def _acquire(self) -> int:
        for _ in range(RETRIES):
            handle = self._opened()
            try:
                if self._taken(handle):
                    return handle
            except BaseException:
                os.close(handle)  # an open handle would hold the run for as long as this process lives
                raise
            os.close(handle)
        raise self._busy()

    def _opened(self) -> int:
        with writing(self.path):
            return open_here(self.path, os.O_RDWR | os.O_CREAT)

    def _taken(self, handle: int) -> bool:
        """Lock the open file and sign it; False when its name was given to another file just then."""
        import filelock

        with writing(self.path):
            if not filelock.lock_descriptor(handle, blocking=False):
                raise self._busy()
            if not self._still_named(handle):
                return False
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(_identity()).encode(), 0)
        return True

    def _still_named(self, handle: int) -> bool:
        """Say whether the file just locked is still the one under the lock's name, not one just removed."""
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _busy(self) -> ConfigError:
        owner = _read(self.path)
        return ConfigError(
            f"The run {str(self.path.parent)!r} is being written by {_named(owner) if owner else 'another process'}.",
            mend=f"Wait for it, stop it, or choose another --out.{_removal(self.path, owner)}",
        )


def holder(run_path: Path) -> dict[str, Any] | None:
    """Return pid, host and start time of the process that is writing the run, or None.

    A file left behind by a dead process, or whose process id now belongs to a younger process, counts as
    none. A process on another host cannot be looked up and counts as alive.
    """
    owner = _read(run_path / LOCK_NAME)
    if owner is None:
        return None
    if owner["host"] != _host():
        return owner
    started = _started(owner["pid"])
    alive = started is not None and abs(started - owner["started"]) <= CLOCK_TOLERANCE_SECONDS
    return owner if alive else None


def held_elsewhere(run_path: Path) -> str | None:
    """Return who holds the run from another host, where nobody here can see whether it lives, and how to end that."""
    owner = holder(run_path)
    if owner is None or owner["host"] == _host():
        return None
    return f"it is being written by {_named(owner)}.{_removal(run_path / LOCK_NAME, owner)}"


def _named(owner: dict[str, Any]) -> str:
    hours = max(0.0, time.time() - owner["started"]) / 3600
    age = f"{hours:.3g} hours" if hours < _HOURS else f"{hours / 24:.3g} days"
    return f"process {owner['pid']} on {owner['host']}, which began {age} ago"


def _removal(path: Path, owner: dict[str, Any] | None) -> str:
    if owner is None or owner["host"] == _host():
        return ""
    return f" If that process no longer runs, remove {str(path)!r}."


def _host() -> str:
    """Return this machine's name."""
    import socket  # whose constants take a tenth of a command's start, and most commands look at no lock

    return socket.gethostname()


def _identity() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": _host(), "started": _started(os.getpid()) or time.time()}


def _started(pid: int) -> float | None:
    """Return when the process began, in seconds since the epoch, or None when there is no such process."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return float(psutil.Process(pid).create_time())
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """Return the owner written in a lock file; None when it is absent, empty or unreadable."""
    try:
        owner = bounded.parsed(bounded.content(path))
        pid, host, started = int(owner["pid"]), str(owner["host"]), float(owner["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {"pid": pid, "host": host[:_LONGEST], "started": started} if 0 < pid < 2**31 else None
