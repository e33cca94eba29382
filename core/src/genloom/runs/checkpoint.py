"""Checkpoints: the whole state of a run at one step, which exists only when it is whole.

A checkpoint is a folder with `state.safetensors` and `manifest.json`. It is written under another name,
flushed to the disk and renamed, so a kill leaves the previous ones as they were. Nothing in it is executed:
arrays are read by safetensors after the file's hash and every shape have been checked.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.errors import ForbiddenError, RunError
from genloom.files.atomic import reading, sync_directory, sync_file, write_arrays, writing
from genloom.messages import tell
from genloom.runs import manifest, pruning, sealing

if TYPE_CHECKING:
    import numpy as np

    from genloom.runs.directory import Run

    Arrays = dict[str, np.ndarray[Any, Any]]

__all__ = ["load", "load_latest", "save"]

# Stored as whole numbers of the same width, since NumPy itself has no such types; the manifest says which.
NARROW_FLOATS = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
PLAIN_TYPES = frozenset(("bool", *INTEGERS, "float16", "float32", "float64", "complex64"))


def save(
    run: Run,
    step: int,
    arrays: Mapping[str, np.ndarray[Any, Any]],
    manifest_extra: Mapping[str, Any] | None = None,
    keep: int = 2,
    keep_best: tuple[str, str] | None = None,
) -> Path:
    """Write the state at `step` as one whole checkpoint, then remove those no longer wanted.

    Args:
        run: the run to write to; the caller holds its lock.
        step: number of training steps taken.
        arrays: every array of the state by GenLoom's own names; any shape, bfloat16 too.
        manifest_extra: goes into the manifest as it is: "spec", "versions", "metrics", ….
        keep: how many of the newest stay, two at least.
        keep_best: (metric, "min" or "max"): the checkpoint with the best such number in its manifest's
            "metrics" stays too.

    Returns:
        The checkpoint's folder.

    Raises:
        RunError: an array of a type that cannot be stored, or the disk refused.
    """
    checkpoints = run.path / "checkpoints"
    target = checkpoints / manifest.folder_name(int(step))
    stored, table = _storable(arrays)
    with writing(target, sum(array.nbytes for array in stored.values())):
        checkpoints.mkdir(exist_ok=True)  # not its parents: a run that was removed meanwhile is not begun again
        pruning.sweep(checkpoints)
        draft = pruning.hidden(pruning.DRAFT, target)
        with pruning.in_progress(draft):
            _write(draft, int(step), stored, {**(manifest_extra or {}), "arrays": table})
            _publish(draft, target)
        pruning.prune(run, keep=keep, keep_best=keep_best, keep_also=target)
    return target


def load(path: str | Path) -> tuple[Arrays, dict[str, Any]]:
    """Read one checkpoint, every byte checked.

    Args:
        path: the checkpoint's folder.

    Returns:
        (arrays, manifest): the arrays by name with the shapes and types they were saved with, and the
        manifest with "step" and what the writer added.

    Raises:
        RunError: a file is missing, damaged, a link, or not of the shape or type the manifest states.
        ForbiddenError: a file may not be read.
    """
    folder = Path(path)
    content = manifest.read(folder)
    state = folder / manifest.STATE
    _check_claims(state, content)
    try:
        with reading(state), open(state, "rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if digest != content["state_sha256"]:
            raise manifest.damaged(state, "its hash is not the one in the manifest")
        return _arrays(state, content["arrays"]), content
    except OSError as cause:
        raise manifest.damaged(state, str(cause)) from cause


def load_latest(run: Run) -> tuple[Arrays, dict[str, Any]]:
    """Read the checkpoint of the highest step that is whole.

    A damaged one is named on stderr and passed over. A writer may save, replace and prune meanwhile. What the manifest
    knows of the run's other files is compared with them.

    Raises:
        RunError: the run has no checkpoint, or all are damaged.
        ForbiddenError: the newest may not be read: an older one is not what was asked for.
        DamagedRunError: run.toml or a kept file is not what it was when the checkpoint was written.
    """
    failures: dict[Path, str] = {}
    pruning.restore(run.path / "checkpoints")
    for folder in _newest_first(run, failures):
        found = _identity(folder)
        try:
            loaded = load(folder)
        except ForbiddenError:
            raise
        except RunError as error:
            if found is not None and _identity(folder) == found:  # else it was pruned or replaced, which is no damage
                failures[folder] = error.message
            continue
        if failures:
            tell(f"{' '.join(failures.values())} Falling back to {str(folder)!r}.")
        sealing.check(run, loaded[1])
        return loaded
    raise RunError(
        f"The run {str(run.path)!r} has no usable checkpoint.{''.join(' ' + line for line in failures.values())}",
        mend=f"Train it again: remove {str(run.path)!r}, or name another --out.",
    )


def _newest_first(run: Run, failed: Container[Path]) -> Iterator[Path]:
    """Yield the newest checkpoint that has not failed, until none is left in a list that no longer changes.

    The list is read afresh each time, for a writer may prune all that one listing names while they are read.
    """
    settled = False
    while not settled:
        listed = run.checkpoints()
        untried = [folder for folder in listed if folder not in failed]
        if untried:
            yield untried[-1]
        else:
            settled = run.checkpoints() == listed


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder from another that takes its name, None when there is none."""
    try:
        with reading(folder):
            found = folder.lstat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _storable(arrays: Mapping[str, np.ndarray[Any, Any]]) -> tuple[Arrays, dict[str, Any]]:
    """Return contiguous arrays of types safetensors knows, and the table of true shapes and types."""
    import numpy as np

    stored: Arrays = {}
    table: dict[str, Any] = {}
    for name, value in arrays.items():
        array = np.array(value, order="C", copy=None)  # unlike ascontiguousarray, keeps 0-d arrays 0-d
        kind = array.dtype.name
        if kind not in PLAIN_TYPES and kind not in NARROW_FLOATS:
            raise RunError(f"The array {name!r} has type {kind!r}, which a checkpoint cannot hold.")
        table[name] = {"shape": list(array.shape), "dtype": kind}
        stored[name] = array.view(NARROW_FLOATS[kind]) if kind in NARROW_FLOATS else array
    return stored, table


def _write(draft: Path, step: int, stored: Arrays, content: dict[str, Any]) -> None:
    draft.mkdir()
    state = draft / manifest.STATE
    write_arrays(stored, state)
    sync_file(state)
    with open(state, "rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    sealed = manifest.seal({**content, "step": step, "state_sha256": digest, "state_bytes": state.stat().st_size})
    (draft / manifest.MANIFEST).write_bytes(sealed)
    sync_file(draft / manifest.MANIFEST)
    sync_directory(draft)


def _publish(draft: Path, target: Path) -> None:
    """Give the finished draft its name; an older checkpoint of the same step steps aside first."""
    aside = None
    if target.exists():
        aside = pruning.hidden(pruning.REPLACED, target)
        os.rename(target, aside)
    os.rename(draft, target)
    sync_directory(target.parent)
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)


def _check_claims(state: Path, content: dict[str, Any]) -> None:
    """Refuse sizes that do not add up, before anything is read or allocated."""
    size = manifest.require_plain_file(state)
    if size != content["state_bytes"]:
        raise manifest.damaged(state, f"it has {size} bytes instead of {content['state_bytes']}")
    total = 0
    for name, claim in content["arrays"].items():
        if not _plausible(claim):
            raise manifest.damaged(state.with_name(manifest.MANIFEST), f"it claims {claim!r} for the array {name!r}")
        total += math.prod(claim["shape"]) * _item_bytes(claim["dtype"])
    if total > size:
        raise manifest.damaged(state, f"it has {size} bytes but {total} are claimed")


def _plausible(claim: Any) -> bool:
    if not isinstance(claim, dict) or not isinstance(claim.get("shape"), list):
        return False
    sides = all(isinstance(side, int) and not isinstance(side, bool) and side >= 0 for side in claim["shape"])
    return sides and (claim.get("dtype") in PLAIN_TYPES or claim.get("dtype") in NARROW_FLOATS)


def _item_bytes(dtype: str) -> int:
    import numpy as np

    return np.dtype(NARROW_FLOATS.get(dtype, dtype)).itemsize


def _arrays(state: Path, table: dict[str, Any]) -> Arrays:
    """Read the arrays after comparing the file's own header with the manifest's table."""
    import numpy as np
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(state, framework="np") as opened:
            if set(opened.keys()) != set(table):
                raise manifest.damaged(state, "its arrays are not those of the manifest")
            for name, claim in table.items():
                found = opened.get_slice(name).get_shape()
                if found != claim["shape"]:
                    raise manifest.damaged(state, f"{name!r} has shape {found} instead of {claim['shape']}")
            arrays = {name: opened.get_tensor(name) for name in table}
    except SafetensorError as cause:
        raise manifest.damaged(state, str(cause)) from cause
    for name, claim in table.items():
        if arrays[name].dtype != np.dtype(NARROW_FLOATS.get(claim["dtype"], claim["dtype"])):
            raise manifest.damaged(state, f"{name!r} has type {arrays[name].dtype} instead of {claim['dtype']}")
        if claim["dtype"] in NARROW_FLOATS:
            arrays[name] = arrays[name].view(_narrow(claim["dtype"]))
    return arrays


def _narrow(dtype: str) -> Any:
    import ml_dtypes  # comes with Keras
    import numpy as np

    return np.dtype(getattr(ml_dtypes, dtype))
