"""Messages to people, through Python's own `logging`, and text as a terminal may have it: shown, never obeyed.

All go to the logger "genloom": warnings as WARNING, the rest as INFO. Nothing is configured here. Without a handler
Python prints warnings on stderr and drops the rest; the command line shows both, with `on_stderr`.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator

__all__ = ["on_stderr", "say", "shown", "tell"]

# C0 and C1 but the tab and the line feed, and what turns the direction of writing: with these a name can move the
# cursor, set the title, or write over what stands above (ECMA-48; Unicode 9.0 technical report 36, section 2.2).
# A lone surrogate stands for a byte that is not UTF-8, and cannot be printed at all.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_logger = logging.getLogger("genloom")


def shown(text: str) -> str:
    r"""Return a text with each control character written as Python would, `\x1b`; ends of lines stay."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def tell(message: str) -> None:
    """Log one line as a warning."""
    _logger.warning(_line(message))


def say(message: str) -> None:
    """Log one line that warns of nothing."""
    _logger.info(_line(message))


@contextlib.contextmanager
def on_stderr() -> Iterator[None]:
    """Show messages on stderr inside a `with` block, one line each; a block inside another adds nothing.

    They go no further: a library that gave the root logger a handler would print each a second time.
    """
    if any(isinstance(handler, _OnStderr) for handler in _logger.handlers):
        yield
        return
    handler, level, propagate = _OnStderr(), _logger.level, _logger.propagate
    _logger.addHandler(handler)
    _logger.propagate = False
    _logger.setLevel(level or logging.INFO)  # 0: nobody chose one
    try:
        yield
    finally:
        _logger.removeHandler(handler)
        _logger.setLevel(level)
        _logger.propagate = propagate


class _OnStderr(logging.Handler):
    """Write records to what stderr is at the time; a StreamHandler keeps the one of its beginning."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning: " if record.levelno >= logging.WARNING else ""
        print(shown(f"genloom: {kind}{record.getMessage()}"), file=sys.stderr, flush=True)


def _line(message: str) -> str:
    return shown(" ".join(message.splitlines()))
