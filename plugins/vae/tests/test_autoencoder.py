"""The KL-autoencoder: its latent's scale, its critic's weight by hand, and when the critic joins."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec
from genloom.errors import ConfigError
from genloom_vae.autoencoder import Autoencoder
from genloom_vae.scaling import LatentScale

SPEC = DataSpec((8, 8, 1), classes=2, condition=("label",))
SMALL: dict[str, Any] = {"latent": 2, "channels": (8,), "blocks": 0, "critic_channels": (4, 4, 4)}
X = np.random.RandomState(0).uniform(size=(16, 8, 8, 1)).astype("float32")


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def fit(model: Autoencoder, steps: int) -> Any:
    if model.optimizer is None:
        model.compile()
    return model.fit(({"x": X} for _ in range(steps)), steps_per_epoch=steps, epochs=1, verbose=0).history


def test_moments_of_the_latent_follow_the_batches() -> None:
    scale, rng = LatentScale(2), np.random.RandomState(1)
    mean, variance = np.zeros(2), np.ones(2)
    for step in (0, 1, 2, 5000):
        z = (3.0 + 2.0 * rng.normal(size=(4, 3, 3, 2))).astype("float32")
        scale.measure(ops.convert_to_tensor(z), ops.convert_to_tensor(np.int32(step)))
        rate = max(10.0 / (10.0 + step), 0.01)
        mean, variance = mean + rate * (z.mean((0, 1, 2)) - mean), variance + rate * (z.var((0, 1, 2)) - variance)
    np.testing.assert_allclose(array(scale.mean.value), mean, rtol=1e-5)
    np.testing.assert_allclose(array(scale.variance.value), variance, rtol=1e-5)
    tensor = ops.convert_to_tensor(z)
    np.testing.assert_allclose(array(scale.scaled(tensor)), (z - mean) / np.sqrt(variance + 1e-6), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(array(scale.unscaled(scale.scaled(tensor))), z, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("shape", "grid"), [((7, 5, 3), (2, 2)), ((9, 4, 1), (3, 1))])
def test_the_latent_keeps_places_on_sides_of_any_length(shape: tuple[int, ...], grid: tuple[int, int]) -> None:
    model = Autoencoder(DataSpec(shape), latent=3, channels=(4, 4), critic_weight=0.0)
    x = np.random.RandomState(2).uniform(size=(2, *shape)).astype("float32")
    assert model.latent.shape == (*grid, 3) == tuple(model.encode(x).shape[1:])
    assert tuple(model.decode(model.encode(x)).shape) == (2, *shape)


def test_a_place_of_the_latent_sees_its_part_of_the_image_alone() -> None:
    model = Autoencoder(DataSpec((16, 16, 1)), latent=1, channels=(4,), blocks=0, critic_weight=0.0)
    a = np.zeros((1, 16, 16, 1), "float32")
    b = a.copy()
    b[:, :2, :2] = 1.0
    moved = np.abs(array(model.encode(b)) - array(model.encode(a)))[0, :, :, 0]
    assert moved[0, 0] > 1e-4
    assert moved[4:, 4:].max() < 1e-6


def test_encoding_has_unit_deviation_after_training() -> None:
    model = Autoencoder(SPEC, **SMALL, critic_weight=0.0, learning_rate=1e-2)
    fit(model, 100)
    z = array(model.encode(X))
    np.testing.assert_allclose(z.std((0, 1, 2)), 1.0, atol=0.25)
    np.testing.assert_allclose(z.mean((0, 1, 2)), 0.0, atol=0.15)


def linear_critic(w: np.ndarray) -> keras.Model:
    critic = keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1), keras.layers.Reshape((1, 1, 1))
    ])  # fmt: skip
    critic.set_weights([w[:, None], np.zeros(1)])
    return critic


def test_the_critic_pulls_as_strongly_as_the_error_times_its_weight() -> None:
    """For D(x) = w·x the norms are 1/√(n size) and ‖w‖/√n, so that λ = weight / (‖w‖ √size)."""
    w = np.random.RandomState(3).normal(size=64)
    model = Autoencoder(SPEC, **SMALL, critic=linear_critic(w), critic_weight=0.7, critic_start=0)
    x = ops.convert_to_tensor(2 * X - 1)
    mean, _ = model.posterior(x)
    weight = array(model._weight(x, model.decoder(mean)))
    np.testing.assert_allclose(weight, 0.7 / (np.linalg.norm(w) * 8.0), rtol=1e-3)


def test_the_loss_is_error_and_kl_per_value_and_the_critics_pull() -> None:
    w = np.random.RandomState(3).normal(size=64)
    options = {**SMALL, "critic_weight": 0.7, "critic_start": 0, "balance": False, "kl_weight": 0.3}
    model = Autoencoder(SPEC, **options, critic=linear_critic(w), noise="portable")
    model.encoder.layers[-1].bias.assign([0.0, 0.0, -40.0, -40.0])  # σ = exp(−5): next to no noise
    loss, metrics, _ = model.autoencoder_loss({"x": ops.convert_to_tensor(X)})
    mean, log_variance = (array(part) for part in model.posterior(ops.convert_to_tensor(2 * X - 1)))
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum((1, 2, 3)).mean()
    again = array(model.decoder(mean.astype("float32")))
    error, pull = np.abs(2 * X - 1 - again).mean(), -0.7 * (again.reshape(16, -1) @ w).mean()
    np.testing.assert_allclose(array(metrics["kl"]), kl, rtol=1e-4)
    np.testing.assert_allclose(array(metrics["reconstruction"]), error, atol=2e-2)
    np.testing.assert_allclose(array(metrics["critic_pull"]), pull, atol=5e-2)
    parts = array(metrics["reconstruction"]) + 0.3 * kl / 64 + array(metrics["critic_pull"])
    np.testing.assert_allclose(array(loss), parts, rtol=1e-4)


def test_the_critic_joins_at_its_step_and_not_before() -> None:
    model = Autoencoder(SPEC, **SMALL, critic_start=3)
    before = [array(v.value) for v in model.critic.trainable_variables]
    assert fit(model, 3)["critic_loss"] == [0.0]
    model.sync_state()
    for old, variable in zip(before, model.critic.trainable_variables, strict=True):
        np.testing.assert_array_equal(array(variable.value), old)
    logged = fit(model, 2)
    model.sync_state()
    assert logged["critic_loss"][0] > 0.5
    assert logged["critic_pull"][0] != 0.0
    assert any(
        np.abs(array(v.value) - o).max() > 0 for o, v in zip(before, model.critic.trainable_variables, strict=True)
    )
    assert model.eager_because is None


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs images \(height, width, channels\), got \(5,\)"):
        Autoencoder(DataSpec((5,), "table", value_range=None))
    with pytest.raises(ConfigError, match=r"vae/autoencoder"):
        genloom.create("vae/autoencoder", DataSpec((5,), "table", value_range=None))
