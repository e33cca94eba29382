"""What commands print: data on stdout, words about it on stderr, tables that survive a pipe."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from genloom.cli.failures import SCHEMA_VERSION

__all__ = ["note", "print_json", "table"]


def note(text: str) -> None:
    """Say something about the work on stderr."""
    print(text, file=sys.stderr, flush=True)


def print_json(**content: Any) -> None:
    """Print one JSON document with its schema version; NaN and infinities become null, as JSON has none."""
    print(json.dumps({"schema_version": SCHEMA_VERSION, **_plain(content)}, indent=2, allow_nan=False))


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print a table: drawn to the width of a terminal, tab-separated in a pipe so that `cut` and `awk` read it."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (list(headings), *cells):
            print("\t".join(" ".join(cell.split()) for cell in line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*headings, title=title, title_justify="left", box=None, header_style="bold")
    for line in cells:
        drawn.add_row(*(Text(cell) for cell in line))
    Console().print(drawn)


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
