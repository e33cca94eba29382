"""The core's data sources, one file per family; each is a function from the rest of an address to a `Dataset`."""

from __future__ import annotations

__all__: list[str] = []
