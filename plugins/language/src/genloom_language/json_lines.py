"""Lines of JSON, an object in each: of those that cannot be used the first is named, and the others are counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from genloom.errors import DataError

__all__ = ["objects"]

T = TypeVar("T")

_MOST = 1000  # lines that are counted before the rest is not read


def objects(lines: Iterable[str | bytes], name: str, read: Callable[[int, dict[str, Any]], T]) -> Iterator[T]:
    """Yield what `read` makes of the number and the object of each line that is not empty.

    Args:
        lines: of the file.
        name: of the file in errors.
        read: raises ValueError or AttributeError for an object that cannot be used.

    Raises:
        DataError: lines that cannot be used, once all are read; what follows the first of them is not yielded.
    """
    broken: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = read(number, _object(line))
        except (ValueError, AttributeError, RecursionError) as error:
            broken.append((number, str(error)))
            if len(broken) == _MOST:
                break
        else:
            if not broken:
                yield found
    if broken:
        raise _refusal(name, broken)


def _object(line: str | bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except json.JSONDecodeError as error:  # whose own words count lines within this one
        raise ValueError(f"{error.msg} at character {error.colno}") from error
    if not isinstance(parsed, dict):
        raise ValueError("no object")
    return parsed


def _refusal(name: str, broken: list[tuple[int, str]]) -> DataError:
    number, why = broken[0]
    if len(broken) == 1:
        return DataError(f"Line {number} of {name!r} cannot be used: {why}.", mend="Mend or remove it.")
    count = f"{len(broken)} lines" if len(broken) < _MOST else f"{_MOST:,} lines or more"
    return DataError(f"{count} of {name!r} cannot be used, first line {number}: {why}.", mend="Mend or remove them.")
