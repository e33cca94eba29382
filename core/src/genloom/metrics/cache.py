"""A small cache of arrays that are the same for every run on one data set: classifier weights, floors."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import RunError
from genloom.files.atomic import write_atomic
from genloom.files.caches import cache_directory
from genloom.messages import tell

__all__ = ["read", "write"]

_DIGEST_BYTES = 64  # hexadecimal SHA-256


def read(key: str) -> dict[str, NDArray[Any]] | None:
    """Return the arrays stored under a key, or None without any; damaged ones are named on stderr and dropped."""
    try:
        path = _path(key)
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    try:
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise ValueError("its hash is wrong")
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        tell(f"{str(path)!r} is damaged ({error}) and is computed again.")
        return None


def write(key: str, arrays: Mapping[str, Any]) -> None:
    """Store arrays under a key, whole or not at all; a folder that cannot be written is named on stderr."""
    body = io.BytesIO()
    np.savez(body, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    content = body.getvalue()
    try:
        write_atomic(_path(key), hashlib.sha256(content).hexdigest().encode() + content)
    except (OSError, RunError) as error:
        tell(f"the metrics' cache cannot be written ({error}); set GENLOOM_CACHE to another folder.")


def _path(key: str) -> Path:
    # The key is hashed, so nothing in it can name another folder.
    return cache_directory("metrics") / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
