"""Which line of a plugin's own code an error went through, and so whose fault it is."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

__all__ = ["at_line", "last", "line", "package"]


def package(module: str) -> str:
    """Return the top package of a module, which all code of a plugin shares."""
    return module.partition(".")[0]


def line(error: BaseException, packages: Iterable[str]) -> str:
    """Return "file.py, line 3", the innermost line of some packages that an error went through; "" without any."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    found = last(error, packages)
    return found[1] if found else ""


def last(error: BaseException, packages: Iterable[str]) -> tuple[str, str] | None:
    """Return the innermost of some packages whose code an error went through, and the line; None without any."""
    own = {*packages}
    frames = traceback.walk_tb(error.__traceback__)
    passed = [(_of(frame.f_globals), f"{frame.f_code.co_filename}, line {number}") for frame, number in frames]
    return next(((name, where) for name, where in reversed(passed) if name in own), None)


def at_line(error: BaseException, packages: Iterable[str]) -> str:
    """Return `line` as the end of a sentence, " (file.py, line 3)"."""
    found = line(error, packages)
    return f" ({found})" if found else ""


def _of(names: dict[str, object]) -> str:
    return package(str(names.get("__name__", "")))
