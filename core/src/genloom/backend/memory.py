"""How much memory the machine has, where an engine does not know the memory of its device."""

from __future__ import annotations

import os

__all__ = ["physical_memory"]

_UNKNOWN = 4 * 2**30  # systems without sysconf do not say


def physical_memory() -> int:
    """Return the machine's memory in bytes."""
    if not hasattr(os, "sysconf"):
        return _UNKNOWN
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
