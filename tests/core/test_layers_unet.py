"""The U-Net's parts against closed forms and plain NumPy, and its layout inside against the other one."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from genloom import backend
from genloom.errors import ConfigError
from genloom.layers import (
    ConditionEmbedding,
    GroupNorm,
    ResidualBlock,
    SelfAttention,
    UNet,
    default_groups,
    fold,
    sinusoids,
    unfold,
)
from genloom.model.initializers import reseed

RNG = np.random.default_rng(0)


def array(x: object) -> np.ndarray:
    return np.array(ops.convert_to_numpy(x))


def scramble(layer: keras.Layer) -> None:
    """Move every weight: what starts at zero would hide mistakes."""
    rng = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(variable + 0.3 * rng.standard_normal(variable.shape).astype("float32"))


@pytest.mark.parametrize("axis", [-1, 1])
def test_group_norm_is_its_formula_in_both_layouts(axis: int) -> None:
    x = (3.0 + 2.0 * RNG.standard_normal((2, 6, 3, 4) if axis == 1 else (2, 3, 4, 6))).astype("float32")
    layer = GroupNorm(groups=2, axis=axis)
    layer.build(x.shape)
    gamma, beta = RNG.standard_normal((2, 6)).astype("float32")
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    first = np.moveaxis(x, axis, 1)
    grouped = first.reshape(2, 2, -1).astype("float64")
    normal = (grouped - grouped.mean(-1, keepdims=True)) / np.sqrt(grouped.var(-1, keepdims=True) + 1e-5)
    expected = normal.reshape(first.shape) * gamma[None, :, None, None] + beta[None, :, None, None]
    np.testing.assert_allclose(array(layer(x)), np.moveaxis(expected, 1, axis), atol=2e-5)


def test_groups_divide_the_channels() -> None:
    assert [default_groups(c) for c in (4, 8, 40, 48, 128, 512)] == [1, 1, 5, 6, 16, 32]
    with pytest.raises(ConfigError, match="6 channels cannot be cut into 4 groups"):
        GroupNorm(groups=4).build((None, 6))


def test_sinusoids_reach_from_one_to_the_highest_frequency() -> None:
    found = array(sinusoids(np.array([0.25], "float32"), 4, longest=100.0))[0]
    np.testing.assert_allclose(found, [np.sin(0.25), np.sin(25.0), np.cos(0.25), np.cos(25.0)], atol=1e-5)


def test_labels_and_times_both_change_the_embedding() -> None:
    layer = ConditionEmbedding(16, classes=3)
    t, label = np.array([0.1, 0.1, 0.7], "float32"), np.array([0, 3, 0], "int32")
    e = array(layer(t, label))
    assert e.shape == (3, 16)
    assert np.abs(e[0] - e[1]).max() > 1e-4
    assert np.abs(e[0] - e[2]).max() > 1e-3


def test_attention_is_softmax_over_positions_and_starts_as_the_identity() -> None:
    x = RNG.standard_normal((2, 3, 2, 8)).astype("float32")
    layer = SelfAttention(heads=2)
    layer.build(x.shape)
    np.testing.assert_array_equal(array(layer(x)), x)
    scramble(layer)
    y = array(layer.norm(x)).reshape(2, 6, 8)
    qkv = (y @ array(layer.query_key_value.kernel) + array(layer.query_key_value.bias)).reshape(2, 6, 3, 2, 4)
    q, k, v = (np.moveaxis(qkv[:, :, i], 2, 1) for i in range(3))  # (n, heads, p, c)
    scores = q @ k.swapaxes(-1, -2) / 2.0
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = np.moveaxis(weights / weights.sum(-1, keepdims=True) @ v, 1, 2).reshape(2, 6, 8)
    expected = x + (mixed @ array(layer.out.kernel) + array(layer.out.bias)).reshape(x.shape)
    np.testing.assert_allclose(array(layer(x)), expected, atol=1e-4)
    with pytest.raises(ConfigError, match="8 channels cannot be cut into 3 heads"):
        SelfAttention(heads=3).build(x.shape)


def test_residual_block_starts_as_the_identity_and_then_heeds_its_vector() -> None:
    x, e = RNG.standard_normal((2, 4, 4, 8)).astype("float32"), RNG.standard_normal((2, 5)).astype("float32")
    layer = ResidualBlock(8)
    np.testing.assert_allclose(array(layer(x, e)), x, atol=1e-6)
    scramble(layer)
    assert np.abs(array(layer(x, e)) - array(layer(x, -e))).max() > 1e-2


def test_folding_moves_squares_into_channels() -> None:
    x = np.arange(2 * 4 * 6 * 3, dtype="float32").reshape(2, 4, 6, 3)
    folded = array(fold(x, 2))
    assert folded.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(folded[0, 0, 0].reshape(2, 2, 3), x[0, :2, :2])
    np.testing.assert_array_equal(array(unfold(folded, 2, (4, 6))), x)


@pytest.mark.parametrize("sides", [(50,), (7,), (5, 7), (4, 6), (3, 5, 4)])
@pytest.mark.parametrize("patch", [1, 2, 3])
def test_unfolding_undoes_folding_of_any_sides(sides: tuple[int, ...], patch: int) -> None:
    x = RNG.standard_normal((2, *sides, 2)).astype("float32")
    folded = array(fold(x, patch))
    assert folded.shape[1:] == (*(-(-side // patch) for side in sides), 2 * patch ** len(sides))
    assert np.count_nonzero(folded) == x.size  # what continues a side is zero
    np.testing.assert_array_equal(array(unfold(folded, patch, sides)), x)


SHAPES = [(50, 2), (8, 8, 2), (5, 7, 1), (6, 10, 1), (3, 5, 4, 1)]


def build(layout: str, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...] = (8, 8, 2), patch: int = 1) -> UNet:
    monkeypatch.setattr(backend, "image_layout", lambda: layout)
    network = UNet(shape, (8, 16), 1, (0,), embedding=16, classes=3, heads=2, patch=patch)
    reseed(network, 5)
    scramble(network)
    return network


@pytest.mark.skipif(backend.name() == "tensorflow", reason="TensorFlow's CPU kernels are channels-last only")
@pytest.mark.parametrize("shape", SHAPES)
def test_both_layouts_are_the_same_function_of_the_same_weights(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = RNG.standard_normal((2, *shape)).astype("float32")
    t, label = np.array([0.2, 0.9], "float32"), np.array([1, 3], "int32")
    last, first = build("channels_last", monkeypatch, shape), build("channels_first", monkeypatch, shape)
    assert [tuple(v.shape) for v in last.variables] == [tuple(v.shape) for v in first.variables]
    a, b = array(last(x, t, label)), array(first(x, t, label))
    assert a.shape == x.shape
    np.testing.assert_allclose(a, b, atol=2e-4 * np.abs(a).max())
    assert np.abs(a[0] - array(last(x, t, np.array([2, 3], "int32")))[0]).max() > 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_sides_of_any_length_are_kept_and_every_place_counts(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build(backend.image_layout(), monkeypatch, shape, patch=2)
    t, label = np.array([0.5], "float32"), np.array([0], "int32")
    x = ops.convert_to_tensor(RNG.standard_normal((1, *shape)).astype("float32"))
    weights = ops.convert_to_tensor(RNG.standard_normal((1, *shape)).astype("float32"))
    slopes = array(backend.grad(lambda x: network(x, t, label) * weights)(x))
    assert slopes.shape == (1, *shape)
    assert (np.abs(slopes) > 1e-6).all()
    corner = np.zeros((1, *shape), "float32")
    corner[(0, *(-1,) * len(shape))] = 1.0
    moved = array(network(x + ops.convert_to_tensor(corner), t, label)) - array(network(x, t, label))
    assert np.abs(moved[corner > 0]).min() > 1e-3


@pytest.mark.parametrize("shape", [(8,), (2, 2, 2, 2, 1)])
def test_a_shape_without_channels_or_of_too_many_axes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="takes one to three axes and channels"):
        UNet(shape, (8,))
