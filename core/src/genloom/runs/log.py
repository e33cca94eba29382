"""The lines of a run's log.jsonl, each of known types and sizes before anybody uses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from genloom.errors import RunError
from genloom.files import bounded
from genloom.files.atomic import reading

__all__ = ["lines"]

_MOST_BYTES = 2**28  # of the log: a million lines
_LONGEST = 2**20  # bytes of a line
_MOST_NAMES = 256  # losses or rates of a line
_MOST_DAMAGED = 1_000  # lines: a file with more is no log
_LAST_STEP = 10**12


def lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the entry of each whole line in order, None for one that is damaged; a last one without an end is none.

    Raises:
        RunError: the file is no log, or enormous.
        ForbiddenError: it may not be read.
    """
    with reading(path):
        if not path.exists():
            return
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise _unusable(path, f"it is not a plain file of at most {_MOST_BYTES:,} bytes")
    damaged = 0
    try:
        with reading(path), open(path, "rb") as handle:
            while line := _next(handle):
                if line.endswith(b"\n"):
                    entry = _entry(line)
                    damaged += entry is None
                    if damaged > _MOST_DAMAGED:
                        raise _unusable(path, f"more than {_MOST_DAMAGED:,} lines are damaged")
                    yield entry
    except OSError as cause:
        raise _unusable(path, str(cause)) from cause


def _unusable(path: Path, reason: str) -> RunError:
    return RunError(f"{str(path)!r} cannot be read: {reason}.", mend="Move it away; checkpoints stay as they are.")


def _next(handle: BinaryIO) -> bytes:
    """Return the next line, of one that is too long only its end."""
    line = handle.readline(_LONGEST)
    while len(line) == _LONGEST and not line.endswith(b"\n") and (rest := handle.readline(_LONGEST)):
        line = rest
    return line


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = bounded.parsed(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and all(map(_fits, entry, entry.values())) else None


def _fits(name: str, value: Any) -> bool:
    if name in ("losses", "rates"):
        return isinstance(value, dict) and len(value) <= _MOST_NAMES and all(map(_number_or_none, value.values()))
    if name == "step":
        return type(value) is int and 0 <= value <= _LAST_STEP
    if name in ("epoch", "seconds"):
        return _number_or_none(value)
    return name != "status" or isinstance(value, str)


def _number_or_none(value: Any) -> bool:
    return value is None or type(value) in (int, float)
