"""`genloom.data.open`: from an address to a data set, through the registry, so that plugins add sources."""

from __future__ import annotations

import dataclasses
from typing import Any

from genloom.data.address import Address
from genloom.data.dataset import Dataset
from genloom.data.standardising import standardised
from genloom.errors import ConfigError

__all__ = ["open"]


def open(address: str, **options: Any) -> Dataset:
    """Open the data set that an address names.

    Args:
        address: `digits`, `toy:8-ring?sigma=0.1`, `images:DIR?size=32&channels=3`, ... (`genloom list datasets`).
        options: options of the source; they win over those in the address.

    Returns:
        The data set; its `address` holds the options too, so that the same data can be opened again from it.

    Raises:
        NotFoundError: no source has this scheme; names the nearest.
        ConfigError: an option that the source does not have, or a value of the wrong type.
        DataError: the data cannot be used; names the file and the mend.
    """
    from genloom.plugins.registry import find

    parsed = Address.parse(address)
    given = {name: value for name, value in {**parsed.options, **options}.items() if value is not None}
    component = find("dataset", parsed.scheme)
    if component.options is None and given:
        raise ConfigError(f"{parsed.scheme} takes no options, got {', '.join(sorted(given))}.")
    checked = component.configure(**given)
    values = {} if checked is None else {f.name: getattr(checked, f.name) for f in dataclasses.fields(checked)}
    dataset = component.load()(parsed.rest, **values)
    return standardised(dataclasses.replace(dataset, address=str(Address(parsed.scheme, parsed.rest, given))))
