"""The manifest of a checkpoint: what the state file must hold, sealed so that one changed bit is noticed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from genloom.errors import RunError, reason
from genloom.files import bounded
from genloom.files.atomic import plain, reading

__all__ = [
    "LAST_STEP",
    "MANIFEST",
    "STATE",
    "checkpoint_folders",
    "damaged",
    "folder_name",
    "read",
    "require_plain_file",
    "seal",
    "step_of",
]

STATE = "state.safetensors"
MANIFEST = "manifest.json"
FORMAT = 1
SEAL = "manifest_sha256"
LARGEST_MANIFEST_BYTES = 64 * 2**20  # a million arrays; anything larger is not ours
LAST_STEP = 10**8 - 1  # its folder has eight digits
FOLDER = re.compile(r"step-(\d{8})", re.ASCII)


def folder_name(step: int) -> str:
    """Return the folder name of a checkpoint, "step-00001000" for step 1000."""
    if not 0 <= step <= LAST_STEP:
        raise RunError(f"A checkpoint's step must lie in 0 … {LAST_STEP}, got {step}.")
    return f"step-{step:08d}"


def step_of(folder: Path) -> int | None:
    """Return the step a checkpoint folder's name states, None for any other name."""
    match = FOLDER.fullmatch(folder.name)
    return int(match[1]) if match else None


def checkpoint_folders(checkpoints: Path) -> list[Path]:
    """Return the checkpoint folders, lowest step first; links, files and other names do not count."""
    try:
        with reading(checkpoints), os.scandir(checkpoints) as entries:
            # By what the one listing says: asked one by one, all may have been pruned since.
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [checkpoints / name for name in sorted(names) if FOLDER.fullmatch(name)]  # eight digits: by name is by step


def seal(content: dict[str, Any]) -> bytes:
    """Return the manifest's file content: sorted JSON that carries the hash of itself."""
    body = plain({**content, "format": FORMAT})
    return _dump({**body, SEAL: hashlib.sha256(_dump(body)).hexdigest()})


def read(folder: Path) -> dict[str, Any]:
    """Read and check the manifest of a checkpoint.

    Returns:
        The sealed content: "step", "format", "state_sha256", "state_bytes", "arrays" (name to shape and
        dtype) and whatever the writer added ("spec", "versions", "metrics", …).

    Raises:
        RunError: the manifest is missing, is not a plain file, or is not byte for byte what was written.
        ForbiddenError: it may not be read.
    """
    path = folder / MANIFEST
    size = require_plain_file(path)
    if size > LARGEST_MANIFEST_BYTES:
        raise damaged(path, f"it has {size} bytes")
    try:
        with reading(path):
            text = path.read_bytes()
        content = bounded.parsed(text)
        body = {key: value for key, value in content.items() if key != SEAL}
        whole = seal(body) == text
    except (OSError, ValueError, AttributeError, TypeError) as cause:
        raise damaged(path, str(cause) or type(cause).__name__) from cause
    if not whole:
        raise damaged(path, "its hash does not match its content")
    _check_fields(path, body)
    if body["step"] != step_of(folder):
        raise damaged(path, f"it belongs to step {body['step']}")
    return body


def require_plain_file(path: Path) -> int:
    """Return the size in bytes of a regular file; a link, a pipe or nothing there is a damaged checkpoint."""
    try:
        with reading(path):
            status = path.lstat()
    except OSError as cause:
        raise damaged(path, reason(cause)) from cause
    if not stat.S_ISREG(status.st_mode):
        raise damaged(path, "it is not a plain file")
    return status.st_size


def damaged(path: Path, reason: str) -> RunError:
    """Return the error for a file of a checkpoint that cannot be trusted."""
    return RunError(
        f"The checkpoint file {str(path)!r} is damaged: {reason}.",
        mend="Use an older checkpoint of this run, or train again.",
    )


def _check_fields(path: Path, body: dict[str, Any]) -> None:
    kinds = {"step": int, "format": int, "state_sha256": str, "state_bytes": int, "arrays": dict}
    for key, kind in kinds.items():
        if not isinstance(body.get(key), kind) or isinstance(body[key], bool):
            raise damaged(path, f"its field {key!r} is missing or of the wrong type")
    if body["format"] != FORMAT:
        raise RunError(
            f"The checkpoint {str(path.parent)!r} has format {body['format']}, this GenLoom reads format {FORMAT}.",
            mend="Install the GenLoom version that wrote it.",
        )


def _dump(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")
