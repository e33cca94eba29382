"""Writing a file whole or not at all, so that a kill at any instant leaves nothing half written."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genloom.errors import DiskError, ForbiddenError

__all__ = [
    "make_folder",
    "open_here",
    "plain",
    "reading",
    "sync_directory",
    "sync_file",
    "write_arrays",
    "write_atomic",
    "writing",
]

_SPACE = "Free some space, then try again."
_RIGHTS = "Name a place that may be written to, or mend its permissions."
_TAKEN = "A file stands where a folder should be: name another place, or move the file away."
_LINK = "A link stands in its place, which is not followed: remove it."
_GONE = "Was the folder removed or moved meanwhile? Put it back, or name another one."
_NO_PLACE = "The folder takes no files: name another one."
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: What helps against a refusal of the disk, by its number.
_MENDS = {
    **dict.fromkeys(_FULL, _SPACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _RIGHTS),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ESTALE), _GONE),
    errno.EEXIST: _TAKEN,
    errno.ELOOP: _LINK,
}
_WORTH_TELLING = 10**6  # bytes
_NUMBER = re.compile(r"\(os error (\d+)\)")


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step: readers see the old file or the new one, never a part.

    Raises:
        DiskError: the disk refused.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    _refuse_devices(path)
    with writing(path, len(content)):
        try:
            draft.write_bytes(content)
            sync_file(draft)
            os.replace(draft, path)
        finally:
            with contextlib.suppress(OSError):  # what stopped the writing is the one to be told
                draft.unlink(missing_ok=True)
        sync_directory(path.parent)


def _refuse_devices(path: Path) -> None:
    """Refuse what is there and is no file: the one who renames a file onto a device takes it away from all."""
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise DiskError(f"{str(path)!r} could not be written: it is a device or a pipe.", mend="Name a file.")


def open_here(path: str | Path, flags: int) -> int:
    """Open a file of a run to write in place, never one that a link in the run leads to; the umask applies.

    Raises:
        OSError: a link, or no plain file, stands there; or the disk refused.
    """
    handle = os.open(path, flags | os.O_NOFOLLOW if hasattr(os, "O_NOFOLLOW") else flags, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a plain file")
    return handle


def write_arrays(arrays: Mapping[str, Any], file: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a new file of safetensors, which may be read by whom the umask lets read every other file.

    Args:
        arrays: contiguous NumPy arrays by name.
        file: which is not there yet.
        metadata: goes into its header.

    Raises:
        OSError, SafetensorError: the disk refused; safetensors has an error of its own for a full one.
    """
    from safetensors.numpy import save_file

    file.touch()
    mode = stat.S_IMODE(file.stat().st_mode)
    save_file(dict(arrays), file, metadata=None if metadata is None else dict(metadata))
    file.chmod(mode)  # safetensors keeps what it writes from all others


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are not there yet.

    Raises:
        DiskError: the disk refused, or a file is in the way.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def writing(path: Path, needs: int = 0) -> Iterator[None]:
    """Turn what goes wrong while `path` is written into one error that names it, the cause and the mend.

    Args:
        path: what is written.
        needs: bytes that it takes, for the one whose disk is full; from 1 MB on they are told.

    Raises:
        DiskError: the disk refused.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as cause:
        number, reason = _refusal(cause)
        mend = _NO_PLACE if _in_place(cause) else _MENDS.get(number, _RIGHTS)
        mend = _room(path, needs) + mend if number in _FULL else mend
        raise DiskError(f"{str(path)!r} could not be written: {reason}.", mend=mend) from cause


def _in_place(cause: Exception) -> bool:
    """Say whether a file was not to be made in a folder that is there, as in /proc."""
    if not isinstance(cause, FileNotFoundError) or cause.filename is None:
        return False
    return Path(os.fsdecode(cause.filename)).absolute().parent.is_dir()


def _room(path: Path, needs: int) -> str:
    """Say how much room a file takes and how much there is; nothing where the system does not tell."""
    place = next((folder for folder in path.absolute().parents if folder.is_dir()), None)
    if needs < _WORTH_TELLING or place is None:
        return ""
    with contextlib.suppress(OSError):
        return f"It takes {needs / 1e6:.3g} MB, and {shutil.disk_usage(place).free / 1e6:.3g} MB are free there. "
    return ""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say of a file that may not be read that it is so, and not that it is absent or damaged.

    Raises:
        ForbiddenError: this user may not read `path`.
    """
    try:
        yield
    except PermissionError as cause:
        raise ForbiddenError(
            f"{str(path)!r} may not be read: {cause.strerror or cause}.",
            mend="Mend the permissions of the file and of the folders above it, or ask their owner to.",
        ) from cause


def _refusal(cause: Exception) -> tuple[int, str]:
    """Return the number and the words of a refusal; safetensors states the number within its words only."""
    if isinstance(cause, OSError):
        return cause.errno or 0, cause.strerror or str(cause)
    found = _NUMBER.search(str(cause))
    return (int(found[1]), os.strerror(int(found[1]))) if found else (0, str(cause))


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
