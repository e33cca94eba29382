"""What commands print: data on stdout, words about it on stderr, tables that survive a pipe."""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from genloom.cli.failures import SCHEMA_VERSION
from genloom.messages import shown

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["note", "number_cell", "on_terminal", "print_json", "say", "table"]

_NUMBER = re.compile(r"[-+]?\d[\d.,/e+± -]*%?")  # 1,200, -1.5e-05, 12/40, 0.5 ± 0.1, 12 %
_GAP = 2  # characters that rich puts around a cell


def note(text: str) -> None:
    """Say something about the work on stderr."""
    print(shown(text), file=sys.stderr, flush=True)


def say(text: object = "") -> None:
    """Say a line of the answer on stdout."""
    print(shown(str(text)))


def print_json(**content: Any) -> None:
    """Print one JSON document with its schema version; NaN and infinities become null, as JSON has none."""
    print(json.dumps({"schema_version": SCHEMA_VERSION, **_plain(content)}, indent=2, allow_nan=False))


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None, *, split: bool = False
) -> None:
    """Print a table: drawn to the width of a terminal, tab-separated in a pipe so that `cut` and `awk` read it.

    Args:
        headings: of the columns.
        rows: cells as many as headings; None is an empty one.
        title: stands above the table on a terminal.
        split: columns that do not fit beside each other follow below, under the first column again; else cells wrap.
    """
    cells = [["" if cell is None else shown(str(cell)) for cell in row] for row in rows]
    if not on_terminal():
        for line in (list(headings), *cells):
            print("\t".join(" ".join(cell.split()) for cell in line))
        return
    from rich.console import Console

    console, lines = Console(), [list(headings), *cells]
    for number, part in enumerate(_parts(lines, console.width) if split else [lines]):
        if number:
            console.print()
        console.print(_drawn(part, title if number == 0 else None))


def number_cell(value: float | None) -> str:
    """Return a number as tables show it, None as an empty cell."""
    return "" if value is None else f"{value:.4g}"


def on_terminal() -> bool:
    """Say whether a person reads what is printed."""
    return sys.stdout.isatty()


def _drawn(lines: Sequence[Sequence[str]], title: str | None) -> RichTable:
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, title_justify="left", box=None, header_style="bold")
    for heading, *cells in zip(*lines, strict=True):
        # A cell too wide goes on below and loses nothing; numbers are no words, and stay in one line.
        drawn.add_column(Text(heading), overflow="fold", no_wrap=any(map(_NUMBER.fullmatch, cells)))
    for line in lines[1:]:
        drawn.add_row(*(Text(cell) for cell in line))
    return drawn


def _parts(lines: Sequence[Sequence[str]], width: int) -> list[list[list[str]]]:
    """Cut columns into parts that fit into `width` characters, each with the first column."""
    widths = [max(map(len, column)) + _GAP for column in zip(*lines, strict=True)]
    parts: list[list[int]] = [[0]]
    for column in range(1, len(widths)):
        if len(parts[-1]) > 1 and sum(widths[c] for c in parts[-1]) + widths[column] > width:
            parts.append([0])
        parts[-1].append(column)
    return [[[line[column] for column in part] for line in lines] for part in parts]


def _plain(value: Any) -> Any:
    """Return `value` as what JSON can hold."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return str(pathlib.Path(value))
    if hasattr(value, "tolist"):  # a NumPy array or number
        return _plain(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
