"""Turn --label, --prompt and --condition into the dict of arrays, one row per sample, that `genloom.sample` takes."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genloom.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from genloom.data.spec import DataSpec

__all__ = ["condition", "literal"]


def condition(
    spec: DataSpec, n: int, label: str | None, prompt: str | None, entries: Sequence[str]
) -> dict[str, Any] | None:
    """Return the condition for n samples, None when nothing was asked for.

    Args:
        spec: what the run was trained on.
        n: number of samples.
        label: a class by number or name.
        prompt: text that every sample starts from or describes.
        entries: "NAME=VALUE", one value for all, or a .npz file of arrays with n rows.

    Raises:
        ConfigError: data without labels, a label out of range, a malformed entry.
        DataError: a file that cannot be read, or of another length.
    """
    import numpy as np

    found: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        found.update({name: np.repeat(np.asarray([literal(value)]), n, axis=0)} if equals else _arrays(entry, n))
    if label is not None:
        found["label"] = np.full(n, class_index(spec, label), np.int32)
    if prompt is not None:
        found["prompt"] = np.repeat(np.asarray([prompt]), n)
    return found or None


def class_index(spec: DataSpec, label: str) -> int:
    """Return the class a user named, by number or by name.

    Raises:
        ConfigError: the data has no labels, or no such class.
    """
    if not spec.classes:
        raise ConfigError(f"--label {label} was given, but this run's data has no labels.", mend="Leave --label out.")
    if label in spec.class_names:
        return spec.class_names.index(label)
    if label.isdecimal() and int(label) < spec.classes:
        return int(label)
    known = f"Use 0 to {spec.classes - 1}" + (f" or {', '.join(spec.class_names)}." if spec.class_names else ".")
    raise ConfigError(f"There is no class {label!r}.{nearest(label, spec.class_names)}", mend=known)


def literal(text: str) -> Any:
    """Read a word of the command line as int, float, bool or None where it looks like one, else as itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _arrays(file: str, n: int) -> dict[str, Any]:
    import numpy as np

    if pathlib.Path(file).suffix != ".npz":
        raise ConfigError(f"--condition needs NAME=VALUE or a .npz file, got {file!r}.")
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = dict(content)
    except (OSError, ValueError) as error:
        raise DataError(f"The condition file {file!r} cannot be read: {error}.") from error
    for name, array in arrays.items():
        if array.shape[:1] != (n,):
            raise DataError(
                f"{name!r} in {file!r} has shape {array.shape}.", mend=f"Give {n} rows, or -n another number."
            )
    return arrays
