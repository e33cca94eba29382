"""Turn --label, --prompt and --condition into the dict of arrays, one row per sample, that `genloom.sample` takes."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from genloom.errors import ConfigError, DataError
from genloom.sampling.conditions import class_number

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
        label: a class by name or number.
        prompt: text that every sample starts from or describes.
        entries: "NAME=VALUE", one value for all, or a .npz file of arrays with n rows.

    Raises:
        ConfigError: data without labels, a label out of range, a malformed entry, one name twice.
        DataError: a file that cannot be read, or of another length.
    """
    found: dict[str, Any] = {}
    for name, array in _given(spec, n, label, prompt, entries):
        if name in found:
            raise ConfigError(f"The condition {name!r} is given twice.", mend="Give it once.")
        found[name] = array
    return found or None


def _given(
    spec: DataSpec, n: int, label: str | None, prompt: str | None, entries: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    import numpy as np

    if label is not None:
        yield "label", np.full(n, class_number(label, spec), np.int32)
    if prompt is not None:
        yield "prompt", np.repeat(np.asarray([prompt]), n)
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals:
            yield from _arrays(entry, n).items()
        elif name == "label":
            yield name, np.full(n, class_number(value, spec), np.int32)
        else:
            yield name, np.repeat(np.asarray([literal(value)]), n, axis=0)


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
    from genloom.data.sources.npz import read_npz

    if pathlib.Path(file).suffix != ".npz":
        raise ConfigError(f"--condition needs NAME=VALUE or a .npz file, got {file!r}.")
    arrays: dict[str, Any] = read_npz(pathlib.Path(file))
    for name, array in arrays.items():
        if array.shape[:1] != (n,):
            raise DataError(
                f"{name!r} in {file!r} has shape {array.shape}.", mend=f"Give {n} rows, or -n another number."
            )
    return arrays
