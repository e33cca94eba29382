"""Tokens in files: made once for a text, written whole or not at all, and mapped into memory."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from genloom.files.atomic import sync_directory, sync_file
from genloom.files.caches import cache_directory
from genloom.messages import tell

__all__ = ["Stretch", "append", "keep", "key_of"]

_ABOUT = "about.json"
_FORMAT = 2  # of the files; another one is made anew
_STALE_SECONDS = 86_400  # a draft that nobody wrote to for a day was left by a process that died
_PIECE = 1 << 20  # tokens that a pass over all of them holds at once


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Some of the values in a file, mapped into memory; sent to another process, it is the file's name.

    Attributes:
        file: of values of one type, and nothing else.
        dtype: their type.
        start: number of the first.
        stop: number of the one after the last.
    """

    file: Path
    dtype: np.dtype[Any]
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, key: Any) -> Any:
        """Return a shorter stretch for a slice, values for an array of numbers."""
        if isinstance(key, slice):
            start, stop, _ = key.indices(len(self))
            return dataclasses.replace(self, start=self.start + start, stop=self.start + max(start, stop))
        return self._values[key]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._values, dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return Stretch, (self.file, self.dtype, self.start, self.stop)

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield all values, some at a time."""
        step = max(1, _PIECE // max(self.dtype.itemsize // 2, 1))
        for start in range(0, len(self), step):
            yield self._values[start : start + step]

    @functools.cached_property
    def _values(self) -> NDArray[Any]:
        if not len(self):
            return np.zeros(0, self.dtype)  # nothing cannot be mapped
        mapped = np.memmap(self.file, self.dtype, "r", self.start * self.dtype.itemsize, (len(self),))
        return np.asarray(mapped)


def append(file: BinaryIO, pieces: Iterable[NDArray[Any]], dtype: DTypeLike) -> int:
    """Write values to the end of a file and return how many there were."""
    count = 0
    for piece in pieces:
        file.write(np.ascontiguousarray(piece, dtype).tobytes())
        count += len(piece)
    return count


def key_of(*facts: Any) -> str:
    """Return the name, 32 hexadecimal digits, of what these facts and the library `tokenizers` determine."""
    import tokenizers

    whole = json.dumps([_FORMAT, tokenizers.__version__, *facts])
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def keep(key: str, make: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a key, and what was said of it when it was made; it is made when it is absent or damaged.

    Processes that make the same at once each write a draft; the first that ends wins.

    Args:
        key: see `key_of`.
        make: fills an empty folder with files, and returns facts that JSON can hold.

    Raises:
        OSError: the cache cannot be written.
    """
    root = cache_directory("tokens")
    folder = root / key
    about = _believed(folder)
    if about is None:
        _remove_stale(root)
        _make(folder, make)
        about = _believed(folder)
    if about is None:
        raise OSError(f"{str(folder)!r} does not hold what was written there")
    return folder, about


def _make(folder: Path, make: Callable[[Path], dict[str, Any]]) -> None:
    draft = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}")
    draft.mkdir(mode=0o700)
    try:
        said = make(draft)
        files = {file.name: _digest(file) for file in sorted(draft.iterdir())}
        (draft / _ABOUT).write_text(json.dumps({"said": said, "files": files}), "utf-8")
        for file in draft.iterdir():
            sync_file(file)
        sync_directory(draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first
                raise
        sync_directory(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _believed(folder: Path) -> dict[str, Any] | None:
    """Return what was said of a folder whose files are those that were written; one that is damaged is removed."""
    if not folder.is_dir():
        return None
    try:
        about = json.loads((folder / _ABOUT).read_text("utf-8"))
        for name, digest in about["files"].items():
            if _digest(folder / name) != digest:
                raise ValueError(f"the hash of {name} is wrong")
        return dict(about["said"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        tell(f"{str(folder)!r} is damaged ({error}) and is computed again.")
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _remove_stale(root: Path) -> None:
    for draft in root.glob(".*"):
        newest = max((file.stat().st_mtime for file in [draft, *draft.glob("*")]), default=0.0)
        if newest < time.time() - _STALE_SECONDS:
            shutil.rmtree(draft, ignore_errors=True)
