"""Reading small files that anybody may have written: size, depth and numbers are bounded before they are used.

Parsers take time or memory without bound for a few thousand hostile bytes: 100 kB of dotted keys took tomllib minutes.
"""

from __future__ import annotations

import json
import math
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["MOST_BYTES", "content", "parsed", "table"]

MOST_BYTES = 2**25  # a run.toml with mean and deviation of half a million columns
_DEEPEST = 32  # tables or lists within each other; ours have six
_MOST_PAIRS, _MOST_TABLES = 50_000, 5_000  # which take tomllib longest; ours have a hundred, and two tables a stretch
_BITS = 256  # of a whole number: as a float it is finite

# What stands in quotes is no structure, and a comment may hold a lone quote. What is never closed goes to the end, so
# that no place is read twice: such a text is no TOML anyway.
_QUOTED = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\\?\Z)'
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|\#[^\n]*+",
    re.DOTALL,
)
_DOTTED = re.compile(r"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){" + str(_DEEPEST) + "}")
_HEADER = re.compile(r"^[ \t]*+\[[^\]\n]*+\](?![ \t]*+,)", re.MULTILINE)
_BRACKETS = re.compile(r"[\[\]{}]")


def content(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a plain file, so that reading might never end, or has more than `most` bytes.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a plain file")
    if status.st_size > most:
        raise ValueError(f"it has {status.st_size:,} bytes, where {most:,} are the most")
    return path.read_bytes()


def table(written: bytes) -> dict[str, Any]:
    """Return what TOML says.

    Raises:
        ValueError: it is no TOML in UTF-8, is too deep or has too many tables, or has a number of more than 256 bits or
            one that is not finite.
    """
    text = written.decode("utf-8")
    structure = _QUOTED.sub("x", text)
    if _DOTTED.search(structure) or _depth(structure) > _DEEPEST:
        raise _too_deep()
    if structure.count("=") > _MOST_PAIRS or sum(1 for _ in _HEADER.finditer(structure)) > _MOST_TABLES:
        raise ValueError(f"it has more than {_MOST_PAIRS:,} keys or {_MOST_TABLES:,} tables")
    found = tomllib.loads(text)
    _check(found, _DEEPEST)
    return found


def parsed(written: bytes) -> Any:
    """Return what JSON says.

    Raises:
        ValueError: it is no JSON in UTF-8, is too deep, or has a number of more than 256 bits or one that is not
            finite.
    """
    try:
        value = json.loads(written)
    except RecursionError as cause:
        raise _too_deep() from cause
    _check(value, _DEEPEST)
    return value


def _depth(structure: str) -> int:
    deepest = depth = 0
    for bracket in _BRACKETS.finditer(structure):
        depth = depth + 1 if bracket[0] in "[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def _check(value: Any, left: int) -> None:
    if not left:
        raise _too_deep()
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            _check(each, left - 1)
    elif isinstance(value, int) and value.bit_length() > _BITS:
        raise ValueError(f"it has a whole number of {value.bit_length()} bits, where {_BITS} are the most")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it has the number {value}")


def _too_deep() -> ValueError:
    return ValueError(f"more than {_DEEPEST} tables or lists lie within each other")
