"""What `fit` and `evaluate` are given: held against the model's spec before the first step, and read in a step."""

from __future__ import annotations

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

__all__ = ["checked", "read", "refuse_apart"]

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


def checked(data: Any, model: GenerativeModel) -> Any:
    """Return what Keras's `fit` takes, once it was held against a model's spec: arrays whole, else the first batch.

    Args:
        data: an array, a mapping of arrays, a generator of either, a loader, or a data set.
        model: whose spec says what samples and labels are.

    Raises:
        ConfigError: nothing that batches come from.
        DataError: what a batch is refused for (see `check_batch`).
    """
    if isinstance(data, Loader):
        data = data.stream()
    if isinstance(data, Iterator):
        first = _first(data)
        _check(first, model)
        return _resumed(first, data)
    _check(data if isinstance(data, (Mapping, _Array)) else _first(data), model)
    return data


def _first(data: Any) -> Any:
    if isinstance(data, (str, list, tuple)) or not isinstance(data, Iterable):
        raise ConfigError(f"{type(data).__name__} holds no batches.", mend=_FORMS)
    for batch in data:
        return batch
    raise DataError(f"The {type(data).__name__} has no batch.", mend="Give a fresh one: a generator is read once.")


def _resumed(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield _apart(first)
    del first  # it may be large, and training goes on for long
    for batch in rest:
        yield _apart(batch)


def _apart(batch: Any) -> Any:
    """Return what a generator gives as Keras's `fit` takes it: a batch alone in a tuple."""
    return (batch,) if isinstance(batch, (Mapping, _Array)) else batch


def _check(item: Any, model: GenerativeModel) -> None:
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
    arrays = {name: _on_host(name, value) for name, value in batch.items()}
    check_batch(arrays, model.spec, labelled=model.takes_labels)


def _on_host(name: str, value: Any) -> np.ndarray[Any, Any]:
    if not isinstance(value, _Array):
        raise DataError(f"{name!r} is of type {type(value).__name__}, no array.", mend="Give numpy.asarray(values).")
    return np.asarray(ops.convert_to_numpy(value) if ops.is_tensor(value) else value)
