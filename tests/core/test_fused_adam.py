"""The engines' own kernels of Adam move weights as Keras's formula does."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from genloom import backend

SETTINGS: dict[str, Any] = {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}


def adam(m: Any, v: Any, g: Any, t: int) -> tuple[Any, Any, Any]:
    """Kingma and Ba 2015, algorithm 1 in the form at the end of section 2; returns slots and the step of weights."""
    b1, b2 = SETTINGS["beta_1"], SETTINGS["beta_2"]
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    rate = SETTINGS["learning_rate"] * np.sqrt(1 - b2**t) / (1 - b1**t)
    return m, v, rate * m / (np.sqrt(v) + SETTINGS["epsilon"])


@pytest.mark.parametrize(("kind", "decay"), [(keras.optimizers.Adam, 0.0), (keras.optimizers.AdamW, 0.1)])
def test_the_fused_update_is_the_formula(kind: Any, decay: float) -> None:
    rng = np.random.default_rng(0)
    optimizer = backend.prepare_optimizer(kind(**SETTINGS, **({"weight_decay": decay} if decay else {})))
    variables = [keras.Variable(np.ones(shape, "float32")) for shape in ((5, 3), (3,))]
    optimizer.build(variables)
    expected = [(np.ones(v.shape), np.zeros(v.shape), np.zeros(v.shape)) for v in variables]
    for t in range(1, 6):
        gradients = [rng.normal(size=(3, 5)).astype("float32").T, rng.normal(size=3).astype("float32")]
        # The first comes transposed, as the gradient of a matrix product does on torch.
        optimizer.apply(
            [ops.transpose(ops.convert_to_tensor(gradients[0].T)), ops.convert_to_tensor(gradients[1])], variables
        )
        for i, ((x, m, v), g) in enumerate(zip(expected, gradients, strict=True)):
            m, v, step = adam(m, v, g.astype("float64"), t)
            expected[i] = (x - decay * SETTINGS["learning_rate"] * x - step, m, v)
        for variable, (x, *_) in zip(variables, expected, strict=True):
            np.testing.assert_allclose(ops.convert_to_numpy(variable.value), x, rtol=2e-6)


def test_a_frozen_order_of_variables_is_not_assumed() -> None:
    """Slots belong to their variable, also when an update names the variables in another order."""
    one, two = keras.Variable(np.ones((2,), "float32")), keras.Variable(np.ones((3,), "float32"))
    optimizer = backend.prepare_optimizer(keras.optimizers.Adam(**SETTINGS))
    optimizer.build([one, two])
    for order in ((one, two), (two, one)):
        optimizer.apply([ops.ones(v.shape) for v in order], list(order))
    m, v, first = adam(0.0, 0.0, 1.0, 1)
    second = adam(m, v, 1.0, 2)[2]
    for variable in (one, two):
        np.testing.assert_allclose(ops.convert_to_numpy(variable.value), 1 - first - second, rtol=1e-6)
