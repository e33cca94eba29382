"""What a checkpoint's manifest knows of the run's other files, so that one changed bit in them is noticed.

Of run.toml it holds what makes the samples and the training what they are. How long, where the data lie, the history
and the versions may change while a run goes on, and are not sealed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from genloom.errors import DamagedRunError, RunError
from genloom.files import bounded
from genloom.files.atomic import plain, reading
from genloom.files.toml import flat
from genloom.runs.directory import CONFIG, Run

__all__ = ["KEY", "check", "seal"]

#: Of the manifest.
KEY = "sealed"

_SEALED = {"model": ("id", "seed", "options", "parts"), "data": ("fingerprint", "spec")}
_RESTORE = "Restore it from a copy."
_MOST_BYTES = 2**30  # of a kept file


def seal(config: Mapping[str, Any], files: Mapping[str, bytes], settings: Iterable[str] = ()) -> dict[str, Any]:
    """Return what goes into the manifest.

    Args:
        config: what run.toml holds.
        files: name → content of what the run keeps beside.
        settings: names in [training] that a resume cannot change.
    """
    names = {**_SEALED, "training": tuple(settings)}
    kept = {part: {key: config.get(part, {}).get(key) for key in keys} for part, keys in names.items()}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return {KEY: {"config": plain(kept), "files": hashes}}


def check(run: Run, manifest: Mapping[str, Any]) -> None:
    """Compare run.toml and kept files with a manifest; one from before they were sealed says nothing of them.

    Raises:
        DamagedRunError: one that differs; names the file, what it says and what it said.
    """
    if KEY not in manifest:
        return
    sealed = manifest[KEY]
    if not isinstance(sealed, dict) or not all(isinstance(sealed.get(part), dict) for part in ("config", "files")):
        raise RunError(f"The newest checkpoint of {str(run.path)!r} does not record what it protects.", mend=_RESTORE)
    now = dict(flat(run.config))
    for name, value in flat(sealed["config"]):
        if _form(now.get(name)) != _form(value):
            raise DamagedRunError(
                f"{str(run.path / CONFIG)!r} says {name} = {_form(now.get(name))}, the checkpoint {_form(value)}: the "
                "file was changed since, or is damaged.",
                mend="Put the checkpoint's value back, or restore the file from a copy.",
            )
    for name, digest in sealed["files"].items():
        _check_file(run, name, digest)


def _check_file(run: Run, name: str, digest: Any) -> None:
    path = run.path / Path(name).name  # never outside the run
    try:
        with reading(path):
            content = bounded.content(path, _MOST_BYTES)
    except (OSError, ValueError) as cause:
        raise DamagedRunError(f"{str(path)!r} cannot be read: {cause}.", mend=_RESTORE) from cause
    if hashlib.sha256(content).hexdigest() != digest:
        raise DamagedRunError(
            f"{str(path)!r} is damaged: its hash is not the one in the checkpoint's manifest.",
            mend=_RESTORE,
        )


def _form(value: Any) -> str:
    """Return a value as JSON has it: 1 and 1.0 and true differ, as they do for a model."""
    return json.dumps(plain(value))
