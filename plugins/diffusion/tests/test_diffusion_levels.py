"""Masked diffusion of levels against exact conditionals, told a label or not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, random
from genloom.errors import ConfigError
from genloom.model.networks import one_hot
from genloom_diffusion.levels import Levels

#: Pairs of values on three levels, of two classes far from each other and far from independent.
JOINTS = np.array(
    [
        [[0.30, 0.05, 0.05], [0.05, 0.20, 0.05], [0.05, 0.05, 0.20]],
        [[0.02, 0.4, 0.02], [0.4, 0.02, 0.05], [0.03, 0.04, 0.02]],
    ]
)
PAIRS = DataSpec((1, 2, 1), "image", value_range=(-1.0, 3.0), levels=3, classes=2, condition=("label",))


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


@keras.saving.register_keras_serializable(package="test")
class Conditionals(keras.layers.Layer):
    """Logits of each value given what is seen of the other, and the label (n, 2); of both classes alike without one."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = self.add_weight(shape=(1,), initializer="zeros")
        self.built = True

    def call(self, z: Any, label: Any) -> Any:
        none = 1.0 - ops.sum(label, axis=-1, keepdims=True)
        joint = ops.einsum("nc,cij->nij", label + 0.5 * none, ops.convert_to_tensor(JOINTS.astype("float32")))
        seen = one_hot(z, 3) + ops.cast(ops.equal(z, 3), "float32")[..., None]  # (n, 2, 3), all where masked
        first, second = ops.einsum("nij,nj->ni", joint, seen[:, 1]), ops.einsum("nij,ni->nj", joint, seen[:, 0])
        return ops.log(ops.stack([first, second], axis=1)) + 0.0 * self.idle


@pytest.fixture(scope="module")
def exact() -> Levels:
    z, label = keras.Input((2,), dtype="int32"), keras.Input((2,))
    return Levels(PAIRS, denoiser=keras.Model([z, label], Conditionals()(z, label)), noise="portable")


def every_pair() -> np.ndarray:
    """All nine samples, in the order of the joint's cells."""
    return np.array([[-1.0 + 2.0 * i, -1.0 + 2.0 * j] for i in range(3) for j in range(3)], "float32").reshape(
        9, 1, 2, 1
    )


def frequencies(drawn: Any) -> np.ndarray:
    cells = ((array(drawn).reshape(-1, 2) + 1.0) / 2.0).round().astype(int)
    return np.bincount(3 * cells[:, 0] + cells[:, 1], minlength=9) / len(cells)


def test_values_become_levels_and_back(exact: Levels) -> None:
    x = every_pair()
    tokens = array(exact.tokens({"x": ops.convert_to_tensor(x)}))
    np.testing.assert_array_equal(tokens, [[i, j] for i in range(3) for j in range(3)])
    np.testing.assert_array_equal(array(exact.values(ops.convert_to_tensor(tokens.astype("int32")))), x)


@pytest.mark.parametrize("label", [0, 1])
def test_the_bound_is_the_likelihood_under_exact_conditionals(exact: Levels, label: int) -> None:
    found = array(exact.log_prob(ops.convert_to_tensor(every_pair()), ops.full((9,), label, "int32"), levels=256))
    np.testing.assert_allclose(found, np.log(JOINTS[label].ravel()), atol=0.35)  # by the random order of two
    assert np.exp(found).sum() == pytest.approx(1.0, abs=0.05)


def test_held_out_bits_are_the_entropy(exact: Levels) -> None:
    """Of both classes, each sample as often as it comes."""
    rng = np.random.default_rng(0)
    label = (np.arange(4000) % 2).astype("int32")
    cell = np.array([rng.choice(9, p=JOINTS[k].ravel()) for k in label])
    batch = {"x": every_pair()[cell], "label": label, "index": np.arange(4000, dtype="int32")}
    held = exact.validate({name: ops.convert_to_tensor(value) for name, value in batch.items()})
    entropy = -np.mean([np.sum(p * np.log2(p)) for p in JOINTS]) / 2  # bits of each of two values
    bits = array(held["bits"])
    assert bits.mean() == pytest.approx(entropy, abs=4 * bits.std() / np.sqrt(4000))
    np.testing.assert_allclose(bits, array(held["bound"]) / np.log(2.0), rtol=1e-6)


@pytest.mark.parametrize("label", [0, 1, None])
def test_samples_come_as_often_as_they_should(exact: Levels, label: int | None) -> None:
    """One value at a time; with no label as those of both classes."""
    n = 4000
    condition = {} if label is None else {"label": ops.full((n,), label, "int32")}
    found = frequencies(exact.draw(random.keys(0, n), condition, sampler="random", steps=2))
    expected = JOINTS.mean(0).ravel() if label is None else JOINTS[label].ravel()
    assert (np.abs(found - expected) < 4 * np.sqrt(expected / n) + 1e-9).all()


def test_guidance_takes_the_label_to_a_power(exact: Levels) -> None:
    """The second value given the first is drawn from p(x|y)^w p(x)^(1 - w)."""
    n = 4000
    condition = {
        "label": ops.zeros((n,), "int32"),
        "tokens": ops.convert_to_tensor(np.tile([[0, -1]], (n, 1)), "int32"),
    }
    found = frequencies(exact.draw(random.keys(0, n), condition, sampler="random", steps=1, guidance=2.0))[:3]
    told, untold = (p[0] / p[0].sum() for p in (JOINTS[0], JOINTS.mean(0)))
    expected = told**2 / untold / (told**2 / untold).sum()
    assert np.abs(found - expected).max() < 0.03 < np.abs(found - told).max()


def test_hidden_labels_teach_the_model_without() -> None:
    shown = {}
    for share in (0.0, 1.0):
        model = genloom.create("diffusion/levels", PAIRS, layers=1, heads=1, width=8, label_dropout=share)
        with random.training_noise(random.NoiseStream(0, ops.zeros((), "int32"), "portable")):
            shown[share] = array(model.training_label({"label": ops.ones((9,), "int32")}, 9))
    assert (shown[0.0] == 1).all() and (shown[1.0] == 2).all()


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        (DataSpec((1, 2, 1)), {}, r"those of this image are continuous"),
        (PAIRS.replace(classes=0, condition=()), {"guidance": 2.0}, r"the model has learnt no labels"),
        (PAIRS, {"guidance": 2.0, "label_dropout": 0.0}, r"label_dropout=0 taught none"),
        (PAIRS, {"heads": 3, "width": 8}, r"heads=3 must cut width=8"),
    ],
)
def test_what_it_cannot_take_is_refused(spec: DataSpec, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        genloom.create("diffusion/levels", spec, **options)
