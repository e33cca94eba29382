"""What JAX keeps of its compilations, mended before it is used: a disk that filled leaves entries without an end."""

from __future__ import annotations

from pathlib import Path

from genloom.messages import tell

__all__ = ["without_torn"]

_SECONDS = 1.0  # that another process may hold the folder; it has mended it itself, then
_TIME_BYTES = 8  # of the time of an entry's last use, which is written after the entry


def without_torn(folder: Path) -> Path | None:
    """Remove entries whose writing was cut off, over each of which JAX refuses to write any more; return the folder.

    Returns:
        None when the folder cannot be written to; a line on stderr then says why.
    """
    import filelock

    try:
        with filelock.FileLock(folder / ".lockfile", timeout=_SECONDS):  # the one that JAX takes
            for entry in folder.glob("*-cache"):
                used = entry.with_name(entry.name.removesuffix("-cache") + "-atime")
                if not used.is_file() or used.stat().st_size != _TIME_BYTES:
                    entry.unlink()
    except filelock.Timeout:
        return folder
    except OSError as error:
        tell(f"jax compiles anew in every process: {error}")
        return None
    return folder
