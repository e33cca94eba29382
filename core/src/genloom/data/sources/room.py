"""Whether data that a file claims to hold have room in memory, asked before anything is read or allocated."""

from __future__ import annotations

from pathlib import Path

from genloom.errors import DataError

__all__ = ["check_room"]


def check_room(path: Path, needed: int) -> None:
    """Raise DataError where `needed` bytes, of a file's content in memory, are more than the memory that is free."""
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"{path} claims {needed / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB of memory are free.",
            mend="Its header is broken, or the data do not fit into memory: give fewer, or a folder of pictures.",
        )
