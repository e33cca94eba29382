"""A loss that computes with a NumPy array gives right numbers on every step, though torch cannot capture it."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest

from genloom import backend
from genloom.data.spec import DataSpec
from genloom.model import GenerativeModel, Phase

WEIGHTS = np.array([1.0, 2.0], "float32")


class Weighted(GenerativeModel):
    """Loss w · mean(x * WEIGHTS) with w fixed at 1 by a learning rate of nothing."""

    def __init__(self):
        super().__init__(DataSpec((2,), kind="signal", value_range=None))
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def phases(self):
        return [Phase("scale", [self.scale], self.loss_of)]

    def loss_of(self, batch):
        return self.scale * keras.ops.mean(batch["x"] * WEIGHTS), {}, 1.0


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # torch's own meeting with NumPy 2
def test_every_step_sees_its_own_batch():
    model = Weighted()
    model.scale.assign(1.0)
    model.compile(keras.optimizers.SGD(1e-12))
    on_torch = backend.name() == "torch"
    batches = [np.full((4, 2), value, "float32") for value in (1.0, 3.0, 5.0)]
    expected = pytest.warns(UserWarning, match="runs eagerly on torch.*NumPy") if on_torch else contextlib.nullcontext()
    with expected:
        fits = [model.fit({"x": batch}, batch_size=4, verbose=0) for batch in batches]
    seen = [fit.history["loss"][0] for fit in fits]
    np.testing.assert_allclose(seen, [1.5, 4.5, 7.5], rtol=1e-6)
