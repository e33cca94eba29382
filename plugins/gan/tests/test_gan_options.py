"""What an option away from its default changes, as a number."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from genloom import DataSpec
from genloom_gan.model import MLPGAN, WGANGP

LINE = DataSpec((1,), "signal", value_range=None)


class Linear(keras.layers.Layer):
    """D(x) = 2 x, whose slope is 2 everywhere."""

    def call(self, x: Any) -> Any:
        return 2.0 * x


def number(x: Any) -> float:
    return float(ops.convert_to_numpy(x))


@pytest.mark.parametrize(("r1", "r2"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.7), (0.3, 0.7)])
def test_r1_and_r2_weigh_half_the_squared_slope(r1: float, r2: float) -> None:
    model = MLPGAN(LINE, latent=2, hidden=(4,), discriminator=Linear(), r1=r1, r2=r2, noise="portable")
    bare = MLPGAN(LINE, latent=2, hidden=(4,), discriminator=Linear(), r1=0.0, r2=0.0, noise="portable")
    batch = {"x": ops.convert_to_tensor(np.linspace(-1, 1, 8, dtype="float32")[:, None])}
    (loss, metrics, _), (expected, _, _) = model.discriminator_loss(batch), bare.discriminator_loss(batch)
    assert number(metrics["penalty"]) == pytest.approx((r1 + r2) * 0.5 * 4.0, rel=1e-5)
    assert number(loss) - number(expected) == pytest.approx((r1 + r2) * 0.5 * 4.0, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("penalty", [0.0, 3.0])
def test_the_gradient_penalty_is_weighed(penalty: float) -> None:
    model = WGANGP(LINE, latent=2, channels=(4,), generator=Linear1(), critic=Linear(), penalty=penalty)
    batch = {"x": ops.convert_to_tensor(np.linspace(-1, 1, 8, dtype="float32")[:, None])}
    loss, metrics, _ = model.discriminator_loss(batch)
    assert number(metrics["penalty"]) == pytest.approx((2.0 - 1.0) ** 2, rel=1e-4)
    assert number(loss) == pytest.approx(-number(metrics["wasserstein"]) + penalty, rel=1e-4, abs=1e-4)


class Linear1(keras.layers.Layer):
    """G(z) = z₁."""

    def call(self, z: Any) -> Any:
        return z[:, :1]


def test_beta_1_is_that_of_every_phase() -> None:
    model = MLPGAN(LINE, latent=2, hidden=(4,), beta_1=0.7)
    assert [optimizer.beta_1 for optimizer in model.default_optimizers().values()] == [0.7, 0.7]
