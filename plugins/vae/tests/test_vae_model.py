"""The variational autoencoders as users meet them: any shape, labels, own networks, and a training that learns."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, backend, random
from genloom.data.sources.digits import open_digits
from genloom.errors import ConfigError
from genloom.metrics import frechet_distance
from genloom_vae.model import MLPVAE, VAE, ConvVAE
from genloom_vae.options import ConvOptions

DIGITS = DataSpec((8, 8, 1), classes=10)


def draw(model: Any, n: int, seed: int = 0, label: Any = 3, **options: Any) -> np.ndarray:
    condition = {"label": np.full(n, label, "int32")} if model.conditional else {}
    compiled = backend.compiled(lambda keys, given: model.draw(keys, given, **options), model)
    return np.asarray(ops.convert_to_numpy(compiled(random.keys(seed, n), condition)))


@pytest.mark.parametrize(
    ("family", "shape", "kind", "value_range", "classes"),
    [
        (MLPVAE, (2,), "signal", None, 0),
        (MLPVAE, (7, 5, 3), "image", (0.0, 255.0), 4),
        (ConvVAE, (8, 8, 1), "image", (0.0, 1.0), 10),
        (ConvVAE, (28, 27, 1), "image", (0.0, 1.0), 0),
        (ConvVAE, (32, 32, 3), "image", (-1.0, 1.0), 5),
    ],
)
def test_encoding_decoding_and_drawing_keep_the_shape_and_range_of_any_data(
    family: Any, shape: tuple[int, ...], kind: str, value_range: Any, classes: int
) -> None:
    spec = DataSpec(shape, kind, value_range=value_range, classes=classes)
    sizes = {"channels": (4, 6)} if family is ConvVAE else {}
    model = family(spec, hidden=(8,), latent=3, components=2, **sizes)
    label = np.array([1, 0]) if classes else None
    low, high = value_range or (-1.0, 1.0)
    x = np.random.RandomState(0).uniform(low, high, (2, *shape)).astype("float32")
    z = model.encode(x, label)
    assert tuple(z.shape) == (2, *model.latent.shape) == (2, 3)
    assert tuple(model.decode(z, label).shape) == x.shape
    drawn = draw(model, 3, label=0, observation_noise=1.0)
    assert drawn.shape == (3, *shape)
    if value_range:
        assert drawn.min() >= low
        assert drawn.max() <= high
        assert drawn.max() - drawn.min() > 0.1 * (high - low), "noise of half the range fills it"


def test_every_option_can_be_given_by_name_and_the_noise_of_observations_is_one() -> None:
    """Log σ begins at softplus(4) - 4; data without a range are not scaled."""
    given = vars(ConvOptions(observation_noise=2.0, latent=3, hidden=(8,), channels=(4, 6)))
    model = genloom.create("vae/conv", DIGITS, noise="portable", seed=1, **given)
    assert (model.options.observation_noise, model.noise) == (2.0, "portable")
    spec = DataSpec((400,), "signal", value_range=None)
    model = genloom.create("vae/mlp", spec, latent=2, hidden=(4,), observation_noise=0.5, compile=False)
    sigma = np.exp(np.log1p(np.exp(4.0)) - 4.0)
    assert (draw(model, 4) - draw(model, 4, observation_noise=0.0)).std() == pytest.approx(0.5 * sigma, rel=0.05)


def test_a_sample_depends_on_its_key_and_label_only() -> None:
    model = MLPVAE(DIGITS, hidden=(16,), latent=3)
    alone = np.concatenate([draw(model, 4)[i : i + 1] for i in range(4)])
    np.testing.assert_allclose(draw(model, 2), alone[:2], atol=1e-6)
    assert np.abs(draw(model, 1, label=3) - draw(model, 1, label=4)).max() > 1e-3


def test_the_learned_noise_reaches_the_residual_of_constant_data() -> None:
    """Decoder and encoder cannot help with pure noise: σ must become its standard deviation."""
    spec = DataSpec((6,), "signal", value_range=None)
    x = 0.3 * np.random.RandomState(0).normal(size=(4096, 6)).astype("float32")
    model = MLPVAE(spec, hidden=(8,), latent=1, prior="standard", learning_rate=0.02)
    model.compile()
    model.fit({"x": x}, batch_size=256, epochs=12, verbose=0)
    sigma = float(np.exp(ops.convert_to_numpy(model.likelihood.bounded_log_sigma())))
    assert sigma == pytest.approx(0.3, rel=0.1)


def test_own_networks_are_used_as_they_are() -> None:
    encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8)])
    decoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(64), keras.layers.Reshape((8, 8, 1))])
    before = [w.copy() for w in decoder.get_weights()]
    model = VAE(DIGITS, encoder=encoder, decoder=decoder, latent=4)
    assert not model.conditional, "one input each: no labels"
    for kept, weight in zip(before, decoder.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)
    z = np.random.RandomState(0).normal(size=(2, 4)).astype("float32")
    expected = (np.clip(ops.convert_to_numpy(decoder(z)), -1, 1) + 1) / 2
    np.testing.assert_allclose(ops.convert_to_numpy(model.decode(z)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            {"encoder": keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(9)])},
            r"\(8, 8, 1\) to \(8,\).*\(9,\)",
        ),
        ({"decoder": keras.Sequential([keras.layers.Dense(64)])}, r"decoder must map \(4,\) to \(8, 8, 1\).*\(64,\)"),
        ({"decoder": keras.Sequential([keras.Input((5,)), keras.layers.Dense(64)])}, r"decoder.*cannot take its input"),
        ({"encoder": "mlp"}, "Keras layer or model, got str"),
    ],
)
def test_networks_that_do_not_fit_are_named_with_both_shapes(networks: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MLPVAE(DIGITS, latent=4, hidden=(8,), **networks)


def test_a_conditional_model_asks_for_labels() -> None:
    model = MLPVAE(DIGITS, latent=2, hidden=(8,))
    with pytest.raises(ConfigError, match="conditional and got no labels"):
        model.encode(np.zeros((1, 8, 8, 1), "float32"))
    plain = MLPVAE(DIGITS, latent=2, hidden=(8,), conditional=False)
    assert draw(plain, 1).shape == (1, 8, 8, 1)


def test_seconds_of_training_beat_independent_pixels() -> None:
    data = open_digits()
    train, test = data.train.arrays(), data.test.arrays()
    model = MLPVAE(data.spec, latent=8, hidden=(64, 64), learning_rate=4e-3)
    model.compile(ema=0.98)
    model.fit(train, batch_size=128, epochs=25, verbose=0)
    labels = test["label"]
    with model.averaged_weights():
        drawn = draw(model, 500, label=labels)
    basis = np.linalg.svd(train["x"].reshape(-1, 64) - train["x"].reshape(-1, 64).mean(0), full_matrices=False)[2][:20]
    generated, held_out = (a.reshape(-1, 64) @ basis.T for a in (drawn, test["x"]))
    assert frechet_distance(generated, held_out) < 0.6, "independent pixels reach 0.82"
