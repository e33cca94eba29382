"""The adversarial models as users meet them: any shape, labels, own networks, and a training that learns."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from genloom import DataSpec, backend, random
from genloom.data.sources.digits import open_digits
from genloom.errors import ConfigError
from genloom.metrics import frechet_distance
from genloom_gan.model import DCGAN, MLPGAN, WGANGP

DIGITS = DataSpec((8, 8, 1), classes=10)


def draw(model: Any, n: int, seed: int = 0, label: Any = 3, **options: Any) -> np.ndarray:
    condition = {"label": np.full(n, label, "int32")} if model.conditional else {}
    compiled = backend.compiled(lambda keys, given: model.draw(keys, given, **options), model)
    return np.asarray(ops.convert_to_numpy(compiled(random.keys(seed, n), condition)))


@pytest.mark.parametrize(
    ("family", "shape", "kind", "value_range", "classes"),
    [
        (MLPGAN, (2,), "signal", None, 0),
        (MLPGAN, (7, 5, 3), "image", (0.0, 255.0), 4),
        (DCGAN, (28, 27, 1), "image", (0.0, 1.0), 0),
        (WGANGP, (32, 32, 3), "image", (-1.0, 1.0), 5),
    ],
)
def test_samples_have_the_shape_and_range_of_any_data(
    family: Any, shape: tuple[int, ...], kind: str, value_range: Any, classes: int
) -> None:
    spec = DataSpec(shape, kind, value_range=value_range, classes=classes)
    sizes: dict[str, Any] = {"hidden": (8,)} if family is MLPGAN else {"channels": (4, 6)}
    drawn = draw(family(spec, latent=3, **sizes), 3, label=0)
    assert drawn.shape == (3, *shape)
    if value_range:
        assert drawn.min() >= value_range[0]
        assert drawn.max() <= value_range[1]
        assert drawn.std() > 0.01 * (value_range[1] - value_range[0])


def test_a_sample_depends_on_its_key_and_label_only() -> None:
    model = DCGAN(DIGITS, channels=(4, 6), latent=3)
    four = draw(model, 4)
    np.testing.assert_allclose(draw(model, 2), four[:2], atol=1e-6)
    assert np.abs(draw(model, 1, label=3) - draw(model, 1, label=4)).max() > 1e-3
    first, second = draw(model, 2, truncation=0.0)
    np.testing.assert_allclose(first, second, atol=1e-6)  # rows of one batch may round differently


def test_own_networks_are_used_as_they_are() -> None:
    generator = keras.Sequential([keras.Input((4,)), keras.layers.Dense(64), keras.layers.Reshape((8, 8, 1))])
    critic = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    before = [w.copy() for w in generator.get_weights()]
    model = WGANGP(DIGITS, generator=generator, critic=critic, latent=4)
    assert model.discriminator is critic
    assert not model.conditional, "one input each: no labels"
    for kept, weight in zip(before, generator.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)
    z = random.normal(random.keys(0, 2), (4,))
    expected = (np.clip(ops.convert_to_numpy(generator(z)), -1, 1) + 1) / 2
    np.testing.assert_allclose(draw(model, 2), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            {"generator": keras.Sequential([keras.layers.Dense(64)])},
            r"generator must map \(4,\) to \(8, 8, 1\).*\(64,\)",
        ),
        ({"critic": keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])}, r"to \(1,\).*returns \(2,\)"),
        ({"critic": keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])}, "cannot take its input"),
        ({"critic": keras.layers.Flatten(), "discriminator": keras.layers.Flatten()}, "the same network"),
    ],
)
def test_networks_that_do_not_fit_are_named_with_both_shapes(networks: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WGANGP(DIGITS, latent=4, channels=(4,), **networks)


def test_seconds_of_training_find_the_ring() -> None:
    """Points on the unit circle about (1, −1): their mean and radius are known."""
    angle = np.random.RandomState(0).randint(0, 8, 4096) * np.pi / 4
    x = np.stack([np.cos(angle) + 1.0, np.sin(angle) - 1.0], 1) + 0.05 * np.random.RandomState(1).normal(size=(4096, 2))
    model = MLPGAN(DataSpec((2,), "signal", value_range=None), latent=4, hidden=(64, 64), learning_rate=2e-3)
    model.compile(ema=0.98)
    model.fit({"x": x.astype("float32")}, batch_size=128, epochs=14, verbose=0)
    with model.averaged_weights():
        drawn = draw(model, 1000)
    np.testing.assert_allclose(drawn.mean(0), [1.0, -1.0], atol=0.2)
    radius = np.linalg.norm(drawn - [1.0, -1.0], axis=1)
    assert abs(np.median(radius) - 1.0) < 0.15


def test_seconds_of_training_beat_independent_pixels() -> None:
    data = open_digits()
    train, test = data.train.arrays(), data.test.arrays()
    model = MLPGAN(data.spec, latent=16, hidden=(128, 128), learning_rate=1e-3)
    model.compile(ema=0.98)
    model.fit(train, batch_size=64, epochs=15, verbose=0)
    with model.averaged_weights():
        drawn = draw(model, 500, label=test["label"])
    basis = np.linalg.svd(train["x"].reshape(-1, 64) - train["x"].reshape(-1, 64).mean(0), full_matrices=False)[2][:20]
    generated, held_out = (a.reshape(-1, 64) @ basis.T for a in (drawn, test["x"]))
    assert frechet_distance(generated, held_out) < 0.6, "independent pixels reach 0.82"
