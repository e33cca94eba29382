"""Bits per value of levels: where they are counted, where they cannot be, and what they are by hand."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec
from genloom.data.sources.digits import open_digits
from genloom.errors import ConfigError
from genloom.evaluation.heldout import losses
from genloom_vae.likelihoods import decoder_shape
from genloom_vae.model import VAE
from genloom_vae.options import VAEOptions

SPEC = DataSpec((4, 4, 1), levels=17)
X = np.random.RandomState(0).randint(0, 17, (6, 4, 4, 1)).astype("float32") / 16


def silent(spec: DataSpec, **values: Any) -> VAE:
    """A model whose posterior is its prior, and whose decoder gives zeros: its bound is the likelihood's own."""
    options = VAEOptions(latent=2, prior="standard", **values)
    encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4, kernel_initializer="zeros")])
    shape = decoder_shape(spec, options)
    last = keras.layers.Dense(math.prod(shape), kernel_initializer="zeros")
    decoder = keras.Sequential([keras.Input((2,)), last, keras.layers.Reshape(shape)])
    return VAE(spec, options, encoder=encoder, decoder=decoder)


def bits(model: VAE, x: np.ndarray) -> np.ndarray:
    found = model.validate({"x": ops.convert_to_tensor(x), "index": ops.arange(len(x))})["bits"]
    return np.asarray(ops.convert_to_numpy(found), "float64")


def test_an_even_guess_among_levels_costs_the_logarithm_of_their_number() -> None:
    np.testing.assert_allclose(bits(silent(SPEC, likelihood="categorical"), X), np.log2(17), rtol=1e-5)
    masks = (X > 0.5).astype("float32")
    np.testing.assert_allclose(bits(silent(DataSpec((4, 4, 1), levels=2), likelihood="bernoulli"), masks), 1.0, 1e-5)


def test_a_dequantised_gaussian_costs_the_integral_of_its_density_over_a_level() -> None:
    """With σ = 1 about 0 and a level Δ wide: E −log₂ N(x + Δ (u − ½)) − log₂ Δ, E (…)² = x² + Δ²/12."""
    model, delta, x = silent(SPEC, dequantise=True), 1 / 8, 2 * X - 1
    model.likelihood.log_sigma.assign(-4 + np.log(np.expm1(4.0)))
    by_hand = 0.5 * (np.square(x) + delta**2 / 12 + np.log(2 * np.pi)) / np.log(2) - np.log2(delta)
    np.testing.assert_allclose(bits(model, X), by_hand.mean((1, 2, 3)), rtol=0.01)
    noise = ops.convert_to_numpy(model.samples_of({"x": ops.convert_to_tensor(X)})) - X
    assert np.abs(noise).max() <= 1 / 32 + 1e-6
    assert noise.std() == pytest.approx(1 / 16 / np.sqrt(12), rel=0.15)


@pytest.mark.parametrize(
    ("spec", "options"),
    [(SPEC, {}), (SPEC, {"likelihood": "bernoulli"}), (SPEC, {"likelihood": "gaussian-diagonal"})],
)
def test_no_bits_are_told_of_a_density_without_noise_nor_of_grey_values_as_probabilities(
    spec: DataSpec, options: dict[str, Any]
) -> None:
    model = silent(spec, **options)
    assert "bits" not in model.validation
    assert "bits" not in model.validate({"x": ops.convert_to_tensor(X), "index": ops.arange(6)})


def test_noise_of_levels_that_are_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dequantise=true has no meaning with likelihood=categorical"):
        silent(SPEC, likelihood="categorical", dequantise=True)
    with pytest.raises(ConfigError, match=r"dequantise=true needs data of known levels"):
        silent(DataSpec((4, 4, 1)), dequantise=True)
    with pytest.raises(ConfigError, match=r"decoder must map \(2,\) to \(4, 4, 17\).*returns \(4, 4, 1\)"):
        decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(16), keras.layers.Reshape((4, 4, 1))])
        genloom.create("vae/mlp", SPEC, networks={"decoder": decoder}, latent=2, likelihood="categorical")


def test_samples_lie_on_levels_and_training_tells_held_out_bits() -> None:
    data = open_digits()
    options: dict[str, Any] = {"hidden": (16,), "likelihood": "logistic-mixture", "mixtures": 2, "learning_rate": 3e-3}
    model = genloom.create("vae/mlp", data.spec, latent=4, **options)
    model.compile()
    held = model.fit(data.train.arrays(), validation_data=data.test.arrays(256), batch_size=64, epochs=3, verbose=0)
    told = held.history["val_bits"]
    assert told[-1] < told[0] < np.log2(17) + 1
    drawn = genloom.sample(model, 4, observation_noise=1.0).samples
    np.testing.assert_allclose(drawn * 16, np.round(drawn * 16), atol=1e-4)


@pytest.mark.quality
@pytest.mark.parametrize("likelihood", ["categorical", "logistic-mixture"])
def test_digits_cost_fewer_bits_than_a_chow_liu_tree(likelihood: str) -> None:
    """2.21 bits per value is the tree's; without labels, for theirs is p(x)."""
    data = open_digits()
    model = genloom.create("vae/conv", data.spec, preset="tiny", likelihood=likelihood, conditional=False)
    model.compile(ema=0.99)
    model.fit(data.train.arrays(), batch_size=64, epochs=40, verbose=0)
    with model.averaged_weights():
        assert losses(model, data.test)["bits"] < 2.0
