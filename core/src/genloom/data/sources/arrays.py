"""Arrays of any origin, a file's or Python's: checked, described, split into training and test samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.address import IN_MEMORY
from genloom.data.dataset import Dataset, Split
from genloom.data.levels import check_levels, found_levels
from genloom.data.objects import without_objects
from genloom.data.options import ArraysOptions
from genloom.data.sources.assemble import Arrays, assemble, check_dense, check_finite, check_labels, held_out
from genloom.data.spec import DataSpec
from genloom.errors import DataError, listed, nearest
from genloom.modalities import of_kind
from genloom.modalities.images import BYTES

__all__ = ["KEYS", "check_key", "dataset_of_arrays", "from_memory"]

KEYS = ("x", "label", "x_test", "label_test", "class_names")
_ASKED = "genloom.data.open(x, value_range=(lowest, highest)) in place of x"


def from_memory(given: Any, options: ArraysOptions) -> Dataset:
    """Describe and split a Python user's own arrays or tensors, whatever `numpy.asarray` takes.

    Args:
        given: x; (x, label); ((x, label), (x_test, label_test)), as Keras's data sets come; or a mapping with the keys
            of an npz file.
        options: how they are described and split.

    Raises:
        DataError: what cannot be made an array, and as `dataset_of_arrays`.
    """
    named = {key: _plain(value, key) for key, value in _by_key(given).items() if value is not None}
    return dataset_of_arrays(named, IN_MEMORY, IN_MEMORY, options)


def _by_key(given: Any) -> dict[str, Any]:
    if given is None:
        raise DataError("None is not data.", mend="Give an address such as 'digits', an array, or (x, label).")
    if isinstance(given, (Iterator, Split)):
        raise DataError(
            f"{type(given).__name__} is not a whole data set: one part is trained on, another is held out.",
            mend="Give the data set or its arrays; batches and generators of them go to model.fit.",
        )
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, tuple):
        return {"x": given}
    if len(given) == 2 and all(isinstance(part, tuple) and len(part) == 2 for part in given):
        (x, label), (x_test, label_test) = given
        return {"x": x, "label": label, "x_test": x_test, "label_test": label_test}
    if len(given) != 2:
        raise DataError(f"A tuple of {len(given)} is not data.", mend="Give (x, label).")
    return {"x": given[0], "label": given[1]}


def _plain(value: Any, key: str) -> NDArray[Any]:
    """Return an array without Python objects."""
    try:
        return without_objects(value, f"arrays: {key}")
    except DataError:
        raise
    except Exception as error:  # tensors raise what they like: one on a device, one with a gradient
        raise DataError(f"arrays: {key} of type {type(value).__name__} is not an array: {error}") from error


def dataset_of_arrays(arrays: Mapping[str, NDArray[Any]], address: str, source: str, options: ArraysOptions) -> Dataset:
    """Make a data set of pictures (n, h, w) or (n, h, w, 1|3|4), signals (n, features), or another kind that is named.

    Args:
        arrays: by the names in `KEYS`; only x is needed. Labels are whole numbers from 0 up, or the classes' names.
        address: of the data set.
        source: how errors call the arrays.
        options: a kind says the shape of samples, and their range where none is given: bytes of pictures are brought to
            [0, 1], others have the first of [0, 1], [-1, 1] and [0, 255] that fits, the last where values are whole or
            reach a tenth of it. Every k-th row is held out when there is no `x_test`. Classes without a number are as
            many as are named, or one more than the largest label; without names they have those in `arrays` or, where
            labels are names, all that occur, sorted as text.

    Raises:
        DataError: a missing or unknown key, NaN, a shape or values that fit no kind of data, labels that do not fit.
    """
    for name in arrays:
        check_key(name, source)
    x = _samples(source, arrays, "x", options.kind)
    reader = _labelling(source, arrays, options.classes, options.class_names)
    train, held = _split(source, arrays, (x, reader.read("label", len(x))), reader, options)
    spec, divisor = _describe(source, train[0], options.kind or _kind(arrays["x"]), options.value_range)
    spec = spec.replace(levels=_levels(source, (train[0], held[0]), spec, divisor, options.levels))
    if spec.value_range is None:
        _refuse_lost(source, train[0])
    if train[1] is not None:
        spec = spec.replace(classes=reader.classes(train, held), class_names=reader.names)
    elif options.classes or options.class_names is not None or "class_names" in arrays:
        raise DataError(f"{source} has classes but no labels.", mend="Add the key 'label', or leave out the classes.")
    notes = (*reader.notes, *_beyond(spec, held[0])) if divisor == 1 else reader.notes
    return assemble(address, spec, train, held, divisor=divisor, notes=notes)


def check_key(name: str, source: str) -> None:
    """Raise DataError for a name that no array of a source has."""
    if name not in KEYS:
        raise DataError(f"{source} has the unknown key {name!r}.{nearest(name, KEYS)}", mend=f"Keys: {KEYS}.")


@dataclasses.dataclass(frozen=True)
class _Labelling:
    """How the labels of a source are read.

    Attributes:
        source: how errors call the arrays.
        raw: the arrays of labels by key, bytes decoded.
        given: number of classes that was asked for, or None.
        names: of the classes, or empty.
        notes: what a reader should know.
    """

    source: str
    raw: Mapping[str, NDArray[Any]]
    given: int | None
    names: tuple[str, ...]
    notes: tuple[str, ...]

    def read(self, key: str, samples: int) -> NDArray[np.int32] | None:
        """Return the labels under a key as numbers (n,), None when there are none."""
        if key not in self.raw:
            return None
        label = self.raw[key]
        if label.shape == (samples, 1):  # as Keras's CIFAR has them
            label = label[:, 0]
        if label.dtype.kind == "U" and label.shape == (samples,):
            label = self._numbers(key, label)
        return check_labels(label, samples, f"{self.source}: {key}")

    def _numbers(self, key: str, label: NDArray[np.str_]) -> NDArray[np.int32]:
        place = {name: number for number, name in enumerate(self.names)}
        unknown = sorted(set(label.tolist()) - set(place))
        if unknown:
            raise DataError(
                f"{self.source}: {key} has {listed(unknown)}, which class_names does not have.",
                mend=f"Names: {listed(self.names, 10)}.",
            )
        return np.array([place[name] for name in label.tolist()], dtype=np.int32)

    def classes(self, *parts: Arrays) -> int:
        """Return the number of classes.

        Raises:
            DataError: a label beyond it, as many names are not there, or labels that are codes and nobody asked for
                so many classes.
        """
        labels = [label for _, label in parts if label is not None]
        found = 1 + max(int(label.max()) for label in labels)
        wanted = self.given or len(self.names)
        if not wanted:
            check_dense(labels, self.source)
            wanted = found
        if found > wanted or len(self.names) not in (0, wanted):
            raise DataError(
                f"{self.source} has labels up to {found - 1} and {len(self.names)} class names, for {wanted} classes.",
                mend="Give classes=N above the largest label, and N names or none.",
            )
        return wanted


def _labelling(
    source: str, arrays: Mapping[str, NDArray[Any]], classes: int | None, names: Sequence[str] | None
) -> _Labelling:
    stored = {key: arrays[key] for key in ("label", "label_test", "class_names") if key in arrays}
    raw = {key: _decoded(source, key, array) for key, array in stored.items()}
    notes = tuple(f"{key} holds bytes and was read as UTF-8." for key in raw if stored[key].dtype.kind == "S")
    own = raw.pop("class_names", None)
    if names is None and own is not None:
        if own.dtype.kind != "U" or own.ndim != 1:
            raise DataError(f"{source}: class_names is {own.dtype} {own.shape}.", mend="Save a list of strings.")
        names = own.tolist()
    if names is None:
        names = sorted({name for array in raw.values() if array.dtype.kind == "U" for name in array.ravel().tolist()})
    if len(set(names)) != len(names):
        raise DataError(f"{source}: class_names has a name twice: {listed(list(names))}.", mend="Give each its own.")
    if not all(name.strip() for name in names):
        raise DataError(f"{source} has an empty class name among {list(names)[:4]}.", mend="Give each class a name.")
    return _Labelling(source, raw, classes, tuple(names), notes)


def _decoded(source: str, key: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind != "S":
        return array
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source}: {key} holds bytes that are not UTF-8.", mend="Save text: array.astype(str)."
        ) from error


def _kind(x: NDArray[Any]) -> str:
    """Return what arrays are taken for whose kind nobody named."""
    return "signal" if x.ndim == 2 else "image"


def _samples(source: str, arrays: Mapping[str, NDArray[Any]], key: str, kind: str | None) -> NDArray[Any]:
    if key not in arrays:
        what = "labels without samples" if "label" in arrays else f"no {key!r}"
        raise DataError(f"{source} has {what}.", mend="Save the samples under the key 'x'.")
    x = arrays[key]
    if not (np.issubdtype(x.dtype, np.integer) or np.issubdtype(x.dtype, np.floating) or x.dtype == np.bool_):
        raise DataError(f"{source}: {key} holds {x.dtype}, not numbers.", mend="Save integers or floats.")
    if x.ndim and not len(x):
        raise DataError(f"{source}: {key} has no samples, its shape is {x.shape}.", mend="At least two are needed.")
    if x.ndim < 2 or 0 in x.shape or (kind is None and x.ndim > 4):
        raise DataError(
            f"{source}: {key} has the shape {x.shape}.", mend="Use (n, features), (n, h, w) or (n, h, w, channels)."
        )
    x = of_kind(kind or _kind(x)).shaped(x, f"{source}: {key}")
    check_finite(x, f"{source}: {key}")
    if x.dtype.itemsize > 8:
        x = x.astype(np.float64)  # the bytes of a long double, which a fingerprint reads, differ by machine
    return x


def _split(
    source: str, arrays: Mapping[str, NDArray[Any]], train: Arrays, reader: _Labelling, options: ArraysOptions
) -> tuple[Arrays, Arrays]:
    x, label = train
    if "x_test" in arrays:
        x_test = _samples(source, arrays, "x_test", options.kind)
        label_test = reader.read("label_test", len(x_test))
        if x_test.shape[1:] != x.shape[1:] or x_test.dtype != x.dtype:
            raise DataError(
                f"{source}: x is {x.dtype} {x.shape[1:]} a sample, x_test {x_test.dtype} {x_test.shape[1:]}.",
                mend="Give both one type and shape.",
            )
        if (label is None) != (label_test is None):
            raise DataError(f"{source}: only one of x and x_test has labels.", mend="Give both labels, or neither.")
        return train, (x_test, label_test)
    if "label_test" in arrays:
        raise DataError(f"{source} has label_test without x_test.", mend="Add x_test or remove label_test.")
    if len(x) < 2:
        raise DataError(f"{source} has {len(x)} sample(s).", mend="At least two are needed, to train and to test.")
    held = held_out(len(x), options.test)
    pick = [(x[rows], None if label is None else label[rows]) for rows in (~held, held)]
    return pick[0], pick[1]


def _describe(source: str, x: NDArray[Any], kind: str, given: tuple[float, ...] | None) -> tuple[DataSpec, float]:
    """Return the spec and the divisor: bytes that use all levels come out in [0, 1], anything else as it is."""
    if given is not None and len(given) != 2:
        raise DataError(f"value_range needs two numbers, got {given}.", mend="Write value_range=0,255.")
    if given is not None:
        return DataSpec(x.shape[1:], kind, value_range=(given[0], given[1])), 1.0
    bounds = _span(source, x, kind)
    if x.dtype == np.uint8 and bounds == BYTES:
        return DataSpec(x.shape[1:], kind), 255.0
    return DataSpec(x.shape[1:], kind, value_range=bounds), 1.0


def _levels(source: str, parts: Sequence[NDArray[Any]], spec: DataSpec, divisor: float, asked: int | None) -> int:
    """Return how many levels the values have: what was asked for, checked, or what whole values say; else 0."""
    if asked is None:
        bounds = BYTES if divisor > 1 else spec.value_range
        found = [found_levels(x, bounds) for x in parts]
        return max(found) if all(found) else 0
    if spec.value_range is None:
        raise DataError(f"{source}: {asked} levels need a value range.", mend="Give value_range=lowest,highest.")
    for x in parts:
        check_levels(x / divisor, spec.value_range, asked, source)
    return asked


def _span(source: str, x: NDArray[Any], kind: str) -> tuple[float, float] | None:
    try:
        return of_kind(kind).span(x, source)
    except DataError as error:
        asked = _ASKED if source == IN_MEMORY else "?value_range=lowest,highest"
        raise DataError(error.message, mend=f"Give {asked}.") from error


def _refuse_lost(source: str, x: NDArray[Any]) -> None:
    """Refuse columns (…, d) that vary by less than a step of float32 at their size, such as seconds since 1970.

    Raises:
        DataError: names them, with mean and deviation.
    """
    x = x.reshape(-1, x.shape[-1])  # (samples × places before the last axis, d)
    mean, deviation = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    lost = (x.min(axis=0) < x.max(axis=0)) & (deviation < np.abs(mean) * np.finfo(np.float32).eps)
    if lost.any():
        shown = [f"{place}: {mean[place]:.6g} ± {deviation[place]:.3g}" for place in np.flatnonzero(lost)]
        raise DataError(
            f"{source}: x varies too little, relative to its size, for float32 in column {listed(shown)}.",
            mend="Subtract a constant from the column before, such as its smallest value.",
        )


def _beyond(spec: DataSpec, x: NDArray[Any]) -> tuple[str, ...]:
    """Return a note where held-out samples leave the range, which the training samples set."""
    if spec.value_range is None:
        return ()
    low, high = spec.value_range
    beyond = int(((x < low) | (x > high)).reshape(len(x), -1).any(axis=1).sum())
    return (f"{beyond} of {len(x)} test samples have values outside {low:g} to {high:g}.",) if beyond else ()
