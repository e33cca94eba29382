"""What samples are conditioned on: the caller's arrays checked, or labels drawn by seed from the training data's."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.arguments import instance
from genloom.data.objects import without_objects
from genloom.errors import ConfigError, nearest
from genloom.modalities import modality_of

if TYPE_CHECKING:
    from genloom.data.spec import DataSpec
    from genloom.model import GenerativeModel

__all__ = ["class_number", "conditions", "drawn_labels"]


def conditions(
    model: GenerativeModel, n: int, seed: int, given: Mapping[str, Any] | None, offset: int = 0
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the condition's arrays with n rows.

    Args:
        model: whose `spec` says which conditions there are.
        n: number of samples.
        seed: draws the labels when none are given.
        given: arrays with n rows, or single values for all, by name.
        offset: number of the first sample.

    Raises:
        ConfigError: a condition the model does not take, of another length, or a label out of range.
    """
    instance("condition", given, (Mapping, type(None)), "a dict by name, such as {'label': 3}")
    labelled = model.takes_labels
    known = {*(name for name in model.spec.condition if name != "label"), *model.conditions}
    known |= {"label"} if labelled else set()
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name, value in model.read_condition(given or {}, n).items():
        if name not in known:
            raise ConfigError(
                f"{type(model).__name__} takes no condition {name!r}.{nearest(name, known)}",
                mend=f"Conditions: {', '.join(sorted(known)) or 'none'}.",
            )
        found[name] = _labels(value, n, model.spec) if name == "label" else _read(name, value, n, model.spec)
    if labelled and "label" not in found:
        found["label"] = drawn_labels(model.spec, n, seed, offset)
    return found


def drawn_labels(spec: DataSpec, n: int, seed: int, offset: int = 0) -> np.ndarray[Any, Any]:
    """Draw int32 labels (n,) from the training frequencies; label i depends on (seed, offset + i) only."""
    from genloom.random import threefry

    words = np.array([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], np.uint32)
    words[0] ^= np.uint32(zlib.crc32(b"labels"))
    key = words.view(np.int32)
    counter = np.arange(offset, offset + n, dtype=np.int32)
    with np.errstate(over="ignore"):
        bits, _ = threefry((key[:1], key[1:]), (counter, np.zeros_like(counter)), xp=np)
    uniform = (bits.view(np.uint32).astype(np.float64) + 0.5) / 2.0**32
    shares = np.asarray(spec.class_frequencies or np.full(spec.classes, 1.0 / spec.classes), np.float64)
    edges = np.cumsum(shares / shares.sum())
    return np.minimum(np.searchsorted(edges, uniform, side="right"), spec.classes - 1).astype(np.int32)


def class_number(label: str | int, spec: DataSpec) -> int:
    """Return the number of the class that a person names: by its name, or by its number where no name is a number.

    Folders named 1, 2, 3 and 10 are the classes 0, 2, 3 and 1, for names are sorted as text: there 10 means the folder.

    Raises:
        ConfigError: no such class, or data without labels.
    """
    if not spec.classes:
        raise ConfigError(f"The label {label!r} was given, but the data have no labels.", mend="Leave it out.")
    text, names = str(label), spec.class_names
    named_by_number = any(name.isdecimal() for name in names)
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < spec.classes and not named_by_number:
        return int(text)
    numbers = [] if named_by_number else [f"0 to {spec.classes - 1}"]
    known = " or ".join([*numbers, *([", ".join(names)] if names else [])])
    raise ConfigError(f"There is no class {label!r}.{nearest(text, names)}", mend=f"Use {known}.")


def _labels(value: Any, n: int, spec: DataSpec) -> np.ndarray[Any, Any]:
    """Return int32 labels (n,): what a person writes is read as names, an array of integers as numbers of classes."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.tolist()
    if isinstance(value, (str, int)):
        return np.full(n, class_number(value, spec), np.int32)
    if isinstance(value, (list, tuple)) and all(isinstance(item, (str, int)) for item in value):
        labels = np.array([class_number(item, spec) for item in value], np.int32)
    else:
        labels = _array(value)
    if labels.dtype.kind == "U":
        labels = np.array([class_number(str(name), spec) for name in labels.ravel()], np.int32).reshape(labels.shape)
    if labels.dtype.kind not in "iu":
        raise ConfigError(f"A label is a class's name or a whole number from 0 to {spec.classes - 1}, got {value!r}.")
    labels = np.full(n, labels, np.int64) if labels.ndim == 0 else labels
    if labels.shape != (n,):
        raise ConfigError(f"{n} samples need {n} labels, got an array of shape {labels.shape}.")
    wrong = labels[(labels < 0) | (labels >= spec.classes)]
    if len(wrong):
        raise ConfigError(f"There is no class {int(wrong[0])}.", mend=f"Labels go from 0 to {spec.classes - 1}.")
    return labels.astype(np.int32)


def _array(value: Any) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        return np.empty(0, object)  # lists of several lengths, which hold no labels


def _read(name: str, given: Any, n: int, spec: DataSpec) -> np.ndarray[Any, Any]:
    """Return n rows of a condition as the kind of data has it."""
    rows = _rows(name, given, n)
    try:
        return _rows(name, modality_of(spec).condition(name, rows, spec), n)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"The condition {name!r} cannot be read from {str(rows[0])[:40]!r}: {error}.") from error


def _rows(name: str, given: Any, n: int) -> np.ndarray[Any, Any]:
    value = without_objects(given, f"The condition {name!r}")
    if value.ndim == 0:
        return np.repeat(value[None], n, axis=0)
    if len(value) != n:
        raise ConfigError(f"The condition {name!r} has {len(value)} rows for {n} samples.")
    return value
