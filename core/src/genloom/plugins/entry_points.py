"""Read the entry points of the group `genloom`, quickly.

`importlib.metadata` alone takes 40 to 60 ms to import (email, zipfile, csv), a third of what `genloom --help` may
take, and `--help` has to know the plugins' commands. So the two small text files of a distribution are read here;
where something on the import path is not a folder (a zip file), `importlib.metadata` answers instead.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["Declared", "declared"]

_INFO = (".dist-info", ".egg-info")


@dataclasses.dataclass(frozen=True)
class Declared:
    """One entry point.

    Attributes:
        name: its name.
        value: "module" or "module:attr".
        distribution: name of the distribution that declares it.
        version: version of that distribution.
    """

    name: str
    value: str
    distribution: str
    version: str

    @property
    def module(self) -> str:
        """The module that it names."""
        return self._parts[0].strip()

    @property
    def _parts(self) -> tuple[str, str, str]:
        return self.value.partition("[")[0].partition(":")

    def load(self) -> Any:
        """Import what the entry point names."""
        loaded: Any = importlib.import_module(self.module)
        _, _, attributes = self._parts
        for attribute in filter(None, attributes.strip().split(".")):
            loaded = getattr(loaded, attribute)
        return loaded


def declared(group: str) -> list[Declared]:
    """Return the entry points of a group; of one distribution found twice, the first on the import path wins."""
    folders = [pathlib.Path(entry) for entry in dict.fromkeys(sys.path)]
    if any(folder.is_file() for folder in folders):
        return _by_metadata(group)
    found: list[Declared] = []
    seen: set[str] = set()
    for info in (info for folder in folders for info in _distributions(folder)):
        # An editable install may leave name.egg-info in its source tree beside name-1.0.dist-info.
        name = info.name.removesuffix(info.suffix).partition("-")[0].lower().replace(".", "_")
        if name not in seen:
            seen.add(name)
            found += _of_distribution(info, group)
    return found


def _distributions(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_INFO))
    except OSError:  # the import path may name folders that are not there
        return []
    return [folder / name for name in names]


def _of_distribution(info: pathlib.Path, group: str) -> Iterator[Declared]:
    text = _read(info / "entry_points.txt")
    if f"[{group}]" not in text.replace(" ", ""):
        return
    header = _read(info / ("METADATA" if info.suffix == ".dist-info" else "PKG-INFO")).partition("\n\n")[0]
    fields = dict(line.split(": ", 1) for line in reversed(header.splitlines()) if ": " in line)
    for name, value in _section(text, group):
        # A damaged METADATA has no name or version; the plugin must still be nameable.
        yield Declared(name, value, fields.get("Name", name).strip(), fields.get("Version", "unknown version").strip())


def _section(text: str, group: str) -> Iterator[tuple[str, str]]:
    within = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            within = line.strip("[] ") == group
        elif within and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _read(file: pathlib.Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:  # most distributions declare no entry points
        return ""


def _by_metadata(group: str) -> list[Declared]:
    from importlib.metadata import entry_points

    return [
        Declared(
            entry.name,
            entry.value,
            (entry.dist.metadata["Name"] if entry.dist else None) or entry.name,
            (entry.dist.metadata["Version"] if entry.dist else None) or "unknown version",
        )
        for entry in entry_points(group=group)
    ]
