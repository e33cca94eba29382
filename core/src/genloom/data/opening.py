"""`genloom.data.open`: from an address, or a Python user's own arrays, to a data set."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from genloom.arguments import described
from genloom.data.address import IN_MEMORY, Address
from genloom.data.dataset import Dataset, Split
from genloom.data.spec import is_text
from genloom.data.standardising import standardised
from genloom.errors import ConfigError, DataError, PluginError, reason

__all__ = ["Data", "open"]

Data = str | os.PathLike[str] | Dataset | ArrayLike | tuple[Any, ...] | Mapping[str, Any]
"""What data are named by or handed over as: an address, an open data set, arrays."""


def open(data: Data, **options: Any) -> Dataset:
    """Open the data set that an address names, or make one of arrays.

    Args:
        data: `digits`, `toy:8-ring?sigma=0.1`, `images:DIR?size=32&channels=3`, ... (`genloom list datasets`); a data
            set, which is returned; or arrays or tensors on the host: x, (x, label), ((x, label), (x_test, label_test)),
            or a mapping with the keys of an npz file.
        options: options of the source, for arrays those of `npz`; they win over those in the address.

    Returns:
        The data set; its `address` holds the options too, so that the same data can be opened again from it. Without a
        value range its spec has the mean and scale of the training samples.

    Raises:
        NotFoundError: no source has this scheme; names the nearest.
        ConfigError: an option that the source does not have, or a value of the wrong type.
        DataError: the data cannot be used; names the file and the mend.
        PluginError: the source gives something else than a data set.
    """
    if isinstance(data, (str, os.PathLike)):
        opened = _addressed(os.fspath(data), options)
    elif not isinstance(data, Dataset):
        opened = _in_memory(data, options)
    elif options:
        raise ConfigError(f"{data.address} is open already; it takes no options, got {', '.join(sorted(options))}.")
    else:
        opened = data
    _check_splits(opened)
    return standardised(opened)


def _check_splits(dataset: Dataset) -> None:
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        if not isinstance(split, Split):
            raise ConfigError(
                f"The split {name!r} of {dataset.address} is not a genloom.data.Split, but a {type(split).__name__}.",
                mend="Derive its class from Split, or use ArraySplit.",
            )
    if not len(dataset.train):
        raise DataError(f"{dataset.address} holds no training samples.", mend="Check the address, and what it names.")


def _addressed(address: str, options: Mapping[str, Any]) -> Dataset:
    from genloom.plugins.registry import call, find, named

    if not is_text(address):
        raise DataError(f"{os.fsencode(address)!r} is not UTF-8, so a run cannot record it.", mend="Rename it.")
    parsed = Address.parse(address)
    if parsed.scheme == IN_MEMORY:
        raise DataError(
            f"{address!r} stands for arrays that were passed in Python.",
            mend="Pass the same arrays again: genloom.evaluate(run, dataset=(x, label)).",
        )
    component = find("dataset", parsed.scheme)
    given = _given({**parsed.options, **options})
    if component.options is None and given:
        raise ConfigError(f"{parsed.scheme} takes no options, got {', '.join(sorted(given))}.")
    options = _values(component.configure(**given))
    try:
        dataset = call(component, "(rest, **options)", parsed.rest, **options)
    except OSError as error:
        file = f" ({error.filename})" if error.filename else ""
        mend = "Check the address, and what it names."
        raise DataError(f"{address!r} cannot be opened: {reason(error)}{file}.", mend=mend) from error
    if not isinstance(dataset, Dataset):
        raise PluginError(f"{named(component)} opened {described(dataset)}, which is not a genloom.data.Dataset.")
    return dataclasses.replace(dataset, address=str(Address(parsed.scheme, parsed.rest, given)))


def _in_memory(data: Any, options: Mapping[str, Any]) -> Dataset:
    from genloom.data.options import ArraysOptions
    from genloom.data.sources.arrays import from_memory
    from genloom.options import configure

    given = _given(options)
    dataset = from_memory(data, configure(ArraysOptions, given))
    return dataclasses.replace(dataset, address=str(Address(IN_MEMORY, "", given)))


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _values(options: Any) -> dict[str, Any]:
    return {} if options is None else {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
