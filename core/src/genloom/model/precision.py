"""The arithmetic of a model's layers, chosen while it is built and put back afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from genloom.errors import ConfigError

__all__ = ["policy"]

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


@contextlib.contextmanager
def policy(precision: str) -> Iterator[None]:
    """Build layers under a precision: in bfloat16 weights, losses, noise and optimizer state stay float32.

    Raises:
        ConfigError: a precision other than float32 and bfloat16; float16 is known to break adversarial training.
    """
    import keras

    if precision not in _POLICIES:
        raise ConfigError(f"precision must be float32 or bfloat16, got {precision!r}.")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
