"""The order of the updates against a game small enough to play by hand, and which variables each phase moves."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from genloom import DataSpec, backend, random
from genloom.data.sources.digits import open_digits
from genloom_gan.model import DCGAN, GAN, MLPGAN, WGANGP

RATE = 0.1


class Point(keras.layers.Layer):
    """G(z) = g, a point that the noise does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.g = self.add_weight(shape=(1,), initializer="zeros", name="g")
        self.built = True

    def call(self, z: Any) -> Any:
        return 0.0 * z + self.g


class Slope(keras.layers.Layer):
    """D(x) = w x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = self.add_weight(shape=(1,), initializer="zeros", name="w")
        self.built = True

    def call(self, x: Any) -> Any:
        return self.w * x


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + np.exp(-x))


def by_hand(w: float, g: float, x: float, update: str, steps: int) -> tuple[float, float]:
    """SGD on softplus(−w x) + softplus(w g) for w and softplus(−w g) for g."""
    for _ in range(steps):
        new_w = w - RATE * (-x * sigmoid(-w * x) + g * sigmoid(w * g))
        seen = w if update == "simultaneous" else new_w
        g = g + RATE * seen * sigmoid(-seen * g)
        w = new_w
    return w, g


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
def test_three_steps_of_a_game_played_by_hand(update: str) -> None:
    generator, discriminator = Point(), Slope()
    generator.g.assign([0.5])
    discriminator.w.assign([0.8])
    spec = DataSpec((1,), "signal", value_range=None)
    model = GAN(spec, generator=generator, discriminator=discriminator, latent=1)
    model.compile(keras.optimizers.SGD(RATE), update=update)
    model.fit({"x": np.full((12, 1), 2.0, "float32")}, batch_size=4, verbose=0)
    w, g = by_hand(0.8, 0.5, 2.0, update, 3)
    assert float(values(discriminator)[0][0]) == pytest.approx(w, rel=1e-5)
    assert float(values(generator)[0][0]) == pytest.approx(g, rel=1e-5)
    other = by_hand(0.8, 0.5, 2.0, {"alternating": "simultaneous"}.get(update, "alternating"), 3)
    assert abs(other[1] - g) > 1e-4, "the two rules differ here"


def values(layer: keras.Layer, trainable: bool = True) -> list[np.ndarray]:
    variables = layer.trainable_variables if trainable else layer.non_trainable_variables
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]


def moved(before: list[np.ndarray], after: list[np.ndarray]) -> list[bool]:
    return [bool(np.abs(a - b).max() > 0) for a, b in zip(before, after, strict=True)]


@pytest.mark.parametrize("family", [MLPGAN, DCGAN, WGANGP])
@pytest.mark.parametrize("frozen", ["discriminator", "generator"])
def test_each_phase_moves_only_its_own_variables(family: Any, frozen: str) -> None:
    data = open_digits().train.arrays()
    sizes: dict[str, Any] = {"hidden": (8,)} if family is MLPGAN else {"channels": (4, 6)}
    model = family(DataSpec((8, 8, 1), classes=10), latent=4, **sizes)
    rates = {name: keras.optimizers.SGD(0.0 if name == frozen else 0.1) for name in ("discriminator", "generator")}
    model.compile(rates)
    before = {name: values(getattr(model, name)) for name in rates}
    n = 4 * model.discriminator_repeats
    model.fit({k: v[:n] for k, v in data.items()}, batch_size=n, verbose=0)
    for name in rates:
        change = moved(before[name], values(getattr(model, name)))
        assert not any(change) if name == frozen else sum(change) >= len(change) - 1


@pytest.mark.parametrize(
    ("loss", "shares"),
    [("relativistic", {"pair_accuracy": 0.5}), ("non-saturating", {"real_accuracy": 0.75, "fake_accuracy": 0.0})],
)
def test_what_the_discriminator_tells_rightly_is_what_its_loss_compares(loss: str, shares: dict[str, float]) -> None:
    """D(x) = x and G = 2: of the pairs (1, 2), (3, 2), (-2, 2), (5, 2) two are in order."""
    discriminator, generator = Slope(), Point()
    discriminator.w.assign([1.0])
    generator.g.assign([2.0])
    spec = DataSpec((1,), "signal", value_range=None)
    model = MLPGAN(spec, generator=generator, discriminator=discriminator, latent=1, loss=loss)
    model.compile(keras.optimizers.SGD(0.0))
    rows = np.array([[1.0], [3.0], [-2.0], [5.0]], "float32")
    logged = model.fit({"x": rows}, batch_size=4, shuffle=False, verbose=0).history
    assert {name: logged[name] for name in shares} == {name: [share] for name, share in shares.items()}
    assert {name for name in logged if name.endswith("accuracy")} == set(shares)


def test_batch_statistics_advance_and_sampling_leaves_them() -> None:
    data = open_digits().train.arrays()
    model = DCGAN(DataSpec((8, 8, 1), classes=10), latent=4, channels=(4, 6))
    model.compile()
    before = values(model.generator, trainable=False)
    assert len(before) == 6, "mean and variance of three normalisations"
    model.fit({k: v[:8] for k, v in data.items()}, batch_size=8, verbose=0)
    after = values(model.generator, trainable=False)
    assert all(moved(before, after))
    backend.compiled(model.draw, model)(random.keys(0, 2), {"label": np.array([1, 2], "int32")})
    assert not any(moved(after, values(model.generator, trainable=False)))


def test_the_critic_sees_fresh_data_at_every_repeat() -> None:
    """With D(x) = w x, G = 0 and no penalty, each of n_critic SGD updates adds the mean of its own slice."""
    critic, generator = Slope(), Point()
    spec = DataSpec((1,), "signal", value_range=None)
    model = WGANGP(spec, generator=generator, critic=critic, latent=1, n_critic=3, penalty=0.0)
    model.compile({"discriminator": keras.optimizers.SGD(1.0), "generator": keras.optimizers.SGD(0.0)})
    rows = np.array([[1.0], [3.0], [10.0], [30.0], [100.0], [300.0]], "float32")
    model.fit({"x": rows}, batch_size=6, shuffle=False, verbose=0)
    assert float(values(critic)[0][0]) == pytest.approx(2 + 20 + 200, rel=1e-6)


def test_the_critic_has_no_batch_normalisation() -> None:
    model = WGANGP(DataSpec((8, 8, 1)), latent=4, channels=(4, 6))
    normalised = [layer for layer in model.discriminator.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert normalised == []
