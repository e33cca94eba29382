"""What public functions are handed, checked at their door: what is wrong, the value received, what to give instead."""

from __future__ import annotations

import operator
import os
import pathlib
from collections.abc import Iterable
from typing import Any, TypeVar

from genloom.errors import ConfigError
from genloom.options import LARGEST_SEED

__all__ = ["described", "instance", "many", "path", "seed_number", "whole"]

T = TypeVar("T")


def whole(name: str, value: Any, least: int, most: int) -> int:
    """Return a whole number, Python's or NumPy's, as Python's own.

    Raises:
        ConfigError: it is none, or out of bounds.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise ConfigError(f"{name} must be a whole number, got {value!r}.")
    if number < least:
        raise ConfigError(f"{name} must be at least {least}, got {number}.")
    if number > most:
        raise ConfigError(f"{name} must be at most {most}, got {number}.")
    return number


def seed_number(value: Any) -> int:
    """Return a seed: a whole number from 0 to 2⁶³ − 1, in Python as on the command line.

    Raises:
        ConfigError: it is none.
    """
    return whole("seed", value, 0, LARGEST_SEED)


def path(name: str, value: Any, mend: str | None = None) -> pathlib.Path:
    """Return a path.

    Raises:
        ConfigError: it is none.
    """
    return pathlib.Path(instance(name, value, (str, os.PathLike), "a path", mend))


def many(name: str, value: Any, kind: type[T], words: str) -> list[T]:
    """Return the items of a list; one alone, or a string, which Python would take apart, is none.

    Args:
        name: of the argument.
        value: what it was given.
        kind: of each item.
        words: what it has to be, such as "a list of metrics, such as ['precision']".

    Raises:
        ConfigError: it is no list, or an item is of another kind.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ConfigError(f"{name} must be {words}, got {_shown(value)}.")
    items = list(value)
    for item in items:
        if not isinstance(item, kind):
            raise ConfigError(f"{name} must be {words}; it holds {_shown(item)}.")
    return items


def instance(name: str, value: Any, kind: Any, words: str, mend: str | None = None) -> Any:
    """Return a value of a kind, which is whatever `isinstance` takes.

    Raises:
        ConfigError: it is of another.
    """
    if not isinstance(value, kind):
        raise ConfigError(f"{name} must be {words}, got {_shown(value)}.", mend=mend)
    return value


def described(value: Any) -> str:
    """Return what a plugin gave, as errors call it: an array by its shape, a text as it is, the rest by their type."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return _shown(value) if isinstance(value, str) else type(value).__name__


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a value of type {type(value).__name__}"
