"""The updates of a run: each a run of its own in RUN/updates, and a line of RUN/lineage.jsonl that says its fate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genloom.errors import RunError, reason
from genloom.files import bounded
from genloom.files.atomic import plain, reading, write_atomic

__all__ = ["FILE", "UPDATES", "head", "read", "record", "versions"]

#: Name of the file in a run.
FILE = "lineage.jsonl"

#: Name of the folder of its updates.
UPDATES = "updates"


def read(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a run's lineage, the oldest first; [] for a run that was never updated.

    Raises:
        RunError: the file is damaged.
    """
    file = path / FILE
    if not file.is_file():
        return []
    try:
        with reading(file):
            lines = bounded.content(file).splitlines()
        entries = [bounded.parsed(line) for line in lines]
        if not all(isinstance(entry, dict) and isinstance(entry.get("head"), str) for entry in entries):
            raise ValueError("an entry has no head")
    except (OSError, ValueError) as error:
        raise RunError(f"{str(file)!r} cannot be read: {reason(error)}.", mend="Restore it from a copy.") from error
    return entries


def record(path: Path, entry: Mapping[str, Any]) -> None:
    """Add an entry, whose "head" names the folder of the weights that count from now on, relative to the run."""
    lines = [*read(path), plain(entry)]
    write_atomic(path / FILE, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode())


def head(path: Path) -> Path:
    """Return the folder of the run whose weights count: the run itself, or its last promoted update.

    Raises:
        RunError: the lineage is damaged, or names a folder outside the run.
    """
    entries = read(path)
    if not entries:
        return path
    name = entries[-1]["head"]
    folder = path / name
    if not folder.resolve().is_relative_to(path.resolve()):
        raise RunError(f"{str(path / FILE)!r} names {name!r}, which lies outside the run.")
    return folder


def versions(path: Path) -> list[str]:
    """Return the heads in the order in which they counted, the run's own weights (".") first."""
    found = ["."]
    for entry in read(path):
        if entry["head"] != found[-1]:
            found.append(entry["head"])
    return found
