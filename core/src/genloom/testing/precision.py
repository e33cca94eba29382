"""The precision that Keras and its engine compute in, changed for the length of a `with` block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import keras

from genloom import backend

__all__ = ["Precision", "computing_in"]

Precision = Literal["float32", "float64"]


@contextlib.contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Build and run models in a precision; the settings before come back at the end.

    Args:
        precision: of variables, of what layers compute, and of `keras.config.floatx()`.
    """
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    engine = backend.float64() if precision == "float64" else contextlib.nullcontext()
    try:
        keras.config.set_floatx(precision)
        keras.config.set_dtype_policy(precision)
        with engine:
            yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)
