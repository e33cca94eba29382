"""What `fit` and `evaluate` are given: held against the model's spec before it is trained on, and read in a step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import keras
import numpy as np
from keras import ops

from genloom.backend.executions import steps_of
from genloom.data.fitting import check_batch
from genloom.data.loader import Loader
from genloom.errors import ConfigError, DataError

if TYPE_CHECKING:
    from genloom.data.spec import DataSpec
    from genloom.model import GenerativeModel

__all__ = ["check_item", "checked", "own_errors", "read", "refuse_apart"]

_TENSORS_READ_EVERY = 64  # batches: reading one waits for the device

_Types = dict[str, np.dtype[Any]]

_FORMS = (
    'Give an array, {"x": x, "label": label}, a generator of batches, or a data set of Keras, TensorFlow or torch; '
    "of a data set of GenLoom its batches: genloom.data.Loader(dataset.train, 64, seed=0)."
)


@runtime_checkable
class _Array(Protocol):
    """An array or tensor of any library."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any: ...


def read(data: Any, spec: DataSpec) -> dict[str, Any]:
    """Return what a data adapter hands over, a dict or an array, possibly inside a tuple, in the types of losses."""
    while isinstance(data, (tuple, list)):
        data = data[0]
    batch = dict(data) if isinstance(data, Mapping) else {"x": data}
    kinds = {"x": "int32" if spec.holds_tokens else keras.config.floatx()}
    if spec.classes:
        kinds["label"] = "int32"
    return batch | {name: ops.cast(batch[name], kind) for name, kind in kinds.items() if name in batch}


def refuse_apart(**given: Any) -> None:
    """Refuse what Keras takes beside a batch and a model of GenLoom would not read.

    Raises:
        ConfigError: names it.
    """
    for name, value in given.items():
        if value is not None:
            raise ConfigError(
                f"{name} of type {type(value).__name__} would not be read: a batch holds all of its arrays.",
                mend='Give {"x": x, "label": y}; a loss may read further arrays by their names.',
            )


def checked(data: Any, model: GenerativeModel, raised: list[Exception]) -> Any:
    """Return what Keras's `fit` takes, held against a model's spec.

    Arrays are checked whole, the batches of an iterator one by one as they are read, of a data set the first.

    Args:
        data: an array, a mapping of arrays, a generator of either, a loader, or a data set.
        model: whose spec says what samples and labels are.
        raised: where an iterator leaves its error, for `own_errors`.

    Raises:
        ConfigError: nothing that batches come from.
        DataError: what a batch is refused for (see `check_batch`), with its number.
    """
    if isinstance(data, Loader):
        data = data.stream()
    if isinstance(data, Iterator):
        batches = _each(data, model, raised)
        return _begun(next(batches), batches)
    check_item(data if isinstance(data, (Mapping, _Array)) else _first(data), model)
    return data


@contextlib.contextmanager
def own_errors() -> Iterator[list[Exception]]:
    """Raise what an iterator of batches raised as it was: TensorFlow hands on the text alone, in an error of its own.

    Yields:
        The list that `checked` is given.
    """
    raised: list[Exception] = []
    try:
        yield raised
    except Exception as error:
        for own in raised:
            if own is not error and str(own) in str(error):
                raise own from None
        raise


def check_item(item: Any, model: GenerativeModel, *, values: bool = True) -> _Types:
    """Refuse what is no batch, or one that the model would read wrongly; return the type of each array by its name.

    Args:
        item: arrays, possibly in a tuple, or the batches of several steps, of which the first is checked.
        model: as for `checked`.
        values: whether to read tensors, for which the host waits; without, their shapes and types are checked.

    Raises:
        ConfigError: more than the batch would be read.
        DataError: see `check_batch`.
    """
    stacked = steps_of(item)
    if stacked is not None:
        item = keras.tree.map_structure(lambda array: array[0], stacked)
    while isinstance(item, (tuple, list)):
        if len(item) != 1:
            raise ConfigError(
                f"A batch is a {type(item).__name__} of {len(item)}, of which only the first would be read.",
                mend='Give ({"x": x, "label": label},).',
            )
        item = item[0]
    batch = item if isinstance(item, Mapping) else {"x": item}
    read = values or not any(ops.is_tensor(array) for array in batch.values())
    arrays = {name: _on_host(name, value, read) for name, value in batch.items()}
    check_batch(arrays, model.spec, labelled=model.takes_labels, values=read)
    return {name: array.dtype for name, array in arrays.items()}


def _first(data: Any) -> Any:
    if isinstance(data, (str, list, tuple)) or not isinstance(data, Iterable):
        raise ConfigError(f"{type(data).__name__} holds no batches.", mend=_FORMS)
    for batch in data:
        return batch
    raise _no_batch(data)


def _no_batch(data: Any) -> DataError:
    return DataError(f"The {type(data).__name__} has no batch.", mend="Give a fresh one: a generator is read once.")


def _begun(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    """A generator, for Keras takes no other iterator."""
    yield first
    del first  # it may be large, and training goes on for long
    yield from rest


def _each(data: Iterator[Any], model: GenerativeModel, raised: list[Exception]) -> Iterator[Any]:
    first: _Types = {}
    number = 0
    try:
        for number, item in enumerate(data, 1):
            if number == 1 or steps_of(item) is None:  # several steps in one come from a split that was checked
                first = _alike(item, model, number, first)
            yield _apart(item)
        if not number:
            raise _no_batch(data)
    except Exception as error:
        raised.append(error)
        raise


def _alike(item: Any, model: GenerativeModel, number: int, first: _Types) -> _Types:
    """Refuse a batch by its number, also one of other types than the first, which are returned."""
    try:
        found = check_item(item, model, values=number % _TENSORS_READ_EVERY == 1)
        if first and found != first:
            raise DataError(
                f"It has {_typed(found)}, and the first {_typed(first)}.", mend="Give all batches the same."
            )
    except ConfigError as error:
        raise type(error)(f"Batch {number}: {error.message}", mend=error.mend) from None
    return found


def _typed(types: _Types) -> str:
    return ", ".join(f"{name} ({dtype})" for name, dtype in types.items())


def _apart(batch: Any) -> Any:
    """Return what a generator gives as Keras's `fit` takes it: a batch alone in a tuple."""
    return batch if isinstance(batch, (tuple, list)) else (batch,)


def _on_host(name: str, value: Any, read: bool) -> np.ndarray[Any, Any]:
    """Return an array as it is, a tensor's values or, unread, zeros of its shape and type."""
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, _Array):
        raise DataError(f"{name!r} is of type {type(value).__name__}, no array.", mend="Give numpy.asarray(values).")
    if not ops.is_tensor(value):
        return np.asarray(value)
    return np.asarray(ops.convert_to_numpy(value)) if read else _zeros_like(value)


def _zeros_like(tensor: Any) -> np.ndarray[Any, Any]:
    return np.broadcast_to(np.zeros((), keras.backend.standardize_dtype(tensor.dtype)), tensor.shape)
