"""Writing a file whole or not at all, so that a kill at any instant leaves nothing half written."""

from __future__ import annotations

import math
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["plain", "sync_directory", "sync_file", "tell", "write_atomic"]


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step: readers see the old file or the new one, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        draft.write_bytes(content)
        sync_file(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Wait until the file's bytes are on the disk."""
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())


def sync_directory(path: Path) -> None:
    """Wait until the directory's entries are on the disk; systems without directory handles skip it."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def plain(value: Any, *, keep_none: bool = True) -> Any:
    """Return nested dicts, lists, strings, numbers and booleans that TOML and strict JSON can hold.

    Args:
        value: may hold NumPy scalars, tuples and paths; a number that is not finite becomes None.
        keep_none: False drops None from mappings and lists, as TOML has no null.
    """
    if isinstance(value, Mapping):
        items = {str(key): plain(item, keep_none=keep_none) for key, item in value.items()}
        return {key: item for key, item in items.items() if keep_none or item is not None}
    if isinstance(value, (list, tuple)):
        rows = [plain(item, keep_none=keep_none) for item in value]
        return [row for row in rows if keep_none or row is not None]
    if hasattr(value, "tolist"):  # a NumPy scalar or array
        return plain(value.tolist(), keep_none=keep_none)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def tell(message: str) -> None:
    """Write one warning line to stderr; stdout is for data."""
    sys.stderr.write(f"genloom: warning: {message}\n")
    sys.stderr.flush()
