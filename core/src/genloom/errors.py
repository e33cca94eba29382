"""The one family of errors: what is wrong, the value received, how to mend it, and the exit code.

Everything GenLoom raises on purpose derives from `GenLoomError`, so the command line can print one line
instead of a traceback and choose the right exit code, and a Python user can catch one class.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = [
    "ConfigError",
    "DamagedRunError",
    "DataError",
    "DiskError",
    "ForbiddenError",
    "GenLoomError",
    "NotFoundError",
    "PluginError",
    "RunError",
    "listed",
    "nearest",
    "reason",
]


class GenLoomError(Exception):
    """Base of the family: the run failed (exit code 1).

    Args:
        message: what is wrong, with the value received.
        mend: what the reader can do about it; printed after the message.
    """

    exit_code = 1

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message if mend is None else f"{message} {mend}")
        self.message = message
        self.mend = mend


class RunError(GenLoomError):
    """The run itself failed: a loss became NaN, a checkpoint is damaged (exit code 1)."""


class DiskError(RunError):
    """A file could not be written: the disk is full, may not be written to, or a folder vanished (exit code 1)."""


class ForbiddenError(RunError):
    """A file may not be read by this user, which is no damage (exit code 1)."""


class ConfigError(GenLoomError, ValueError):
    """A wrong flag, option or combination of options (exit code 2)."""

    exit_code = 2


class DamagedRunError(ConfigError, RunError):
    """A run whose run.toml cannot be used; who lists several runs goes on without it (exit code 2)."""


class DataError(ConfigError):
    """The data named cannot be used: wrong path, broken file, NaN, mixed shapes (exit code 2)."""


class PluginError(GenLoomError):
    """A plugin is defective or made for another API version (exit code 3)."""

    exit_code = 3


class NotFoundError(GenLoomError, LookupError):
    """A component or plugin that was asked for is absent (exit code 4)."""

    exit_code = 4


def nearest(name: object, names: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest of `names`, or "" when none is close, or what was given no name."""
    close = difflib.get_close_matches(name, list(names), n=1) if isinstance(name, str) else []
    return f" Did you mean {close[0]!r}?" if close else ""


def listed(names: Sequence[str], most: int = 4) -> str:
    """Return names as part of a sentence, "a, b, c, d and 3 more"."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def reason(error: BaseException) -> str:
    """Return what went wrong in words: of a refusal of the system without its number and the path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
