"""Double precision is there inside a `with` block and gone after it, on every engine, whatever happens inside."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from genloom import backend
from genloom.testing.precision import computing_in

TYPES = ("float64", "int64", "uint64", "complex128", "float32", "int32", "bfloat16")


def settings() -> dict[str, str]:
    """What Keras makes of each type, and what a sum of two numbers is."""
    results = {name: keras.backend.result_type(name, name) for name in TYPES}
    added = ops.add(ops.convert_to_tensor(1.0), ops.convert_to_tensor(1.0))
    return {**results, "sum": keras.backend.standardize_dtype(added.dtype), "floatx": keras.config.floatx()}


def third() -> float:
    """A third, as computed in floatx."""
    one, three = (ops.convert_to_tensor(np.asarray(x, keras.config.floatx())) for x in (1.0, 3.0))
    return float(ops.convert_to_numpy(ops.divide(one, three)))


def test_numbers_are_double_inside_and_single_outside() -> None:
    before = settings()
    assert third() == np.float32(1) / np.float32(3)
    with computing_in("float64"):
        assert third() == 1 / 3
        with computing_in("float64"):
            assert third() == 1 / 3
        assert third() == 1 / 3  # the inner block took nothing from the outer one
        changed = {name for name, value in settings().items() if value != before[name]}
        assert changed <= {"float64", "sum", "floatx"}
    assert settings() == before
    assert third() == np.float32(1) / np.float32(3)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_inside_restores_what_was(error: type[BaseException]) -> None:
    before = settings()
    with pytest.raises(error), backend.float64():
        assert keras.backend.result_type("float64", "float64") == "float64"
        raise error
    assert settings() == before
