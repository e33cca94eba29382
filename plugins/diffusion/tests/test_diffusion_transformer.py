"""The diffusion transformer against plain NumPy, at its start, and on samples of any shape."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

import genloom
from genloom import DataSpec, backend, random
from genloom.errors import ConfigError
from genloom_diffusion.meanflow import MeanFlow
from genloom_diffusion.transformer import Block, DiffusionTransformer, places, transformer_for

IMAGE = DataSpec((5, 7, 1), classes=3, condition=("label",))
SMALL: dict[str, Any] = {"width": 16, "depth": 2, "heads": 2, "patch": 2}


def numbers(x: Any) -> NDArray[np.float64]:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def tensor(*shape: int, seed: int = 0) -> Any:
    return ops.convert_to_tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def scramble(layer: keras.Layer) -> None:
    """Move every weight: what starts at zero would hide mistakes."""
    rng = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(variable + 0.2 * rng.standard_normal(variable.shape).astype("float32"))


def dense(layer: keras.layers.Dense, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x @ numbers(layer.kernel.value) + numbers(layer.bias.value)


def silu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x / (1.0 + np.exp(-x))


def normal(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def attended(block: Block, y: NDArray[np.float64]) -> NDArray[np.float64]:
    n, p, width = y.shape
    q, k, v = np.moveaxis(dense(block.query_key_value, y).reshape(n, p, 3, block.heads, -1), 2, 0)
    scores = np.einsum("nqhc,nkhc->nhqk", q, k) / np.sqrt(width // block.heads)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = np.einsum("nhqk,nkhc->nqhc", weights / weights.sum(-1, keepdims=True), v)
    return dense(block.mix, mixed.reshape(n, p, width))


def block_in_numpy(block: Block, x: NDArray[np.float64], e: NDArray[np.float64]) -> NDArray[np.float64]:
    """Peebles and Xie 2023, section 3.2 and figure 3."""
    shift, scale, gate, shift2, scale2, gate2 = np.split(dense(block.modulation, silu(e))[:, None], 6, axis=-1)
    x = x + gate * attended(block, normal(x) * (1.0 + scale) + shift)
    hidden = dense(block.up, normal(x) * (1.0 + scale2) + shift2)
    hidden = 0.5 * hidden * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (hidden + 0.044715 * hidden**3)))
    return x + gate2 * dense(block.down, hidden)


def test_a_block_starts_as_the_identity_and_is_then_its_formula() -> None:
    x, e = tensor(2, 6, 16), tensor(2, 8, seed=1)
    block = Block(16, 2, 8)
    np.testing.assert_array_equal(numbers(block(x, e)), numbers(x))
    scramble(block)
    expected = block_in_numpy(block, numbers(x), numbers(e))
    assert np.abs(expected - numbers(x)).max() > 0.1
    np.testing.assert_allclose(numbers(block(x, e)), expected, atol=1e-4)


def test_the_network_starts_at_zero_and_is_then_its_formula_on_every_engine() -> None:
    """Of 2×2 patches in reading order, rows of one channel of an image of 4×6."""
    x, t, label = tensor(2, 4, 6, 1), np.array([0.2, 0.9], "float32"), np.array([1, 3], "int32")
    network = DiffusionTransformer((4, 6, 1), **SMALL, classes=3)
    np.testing.assert_array_equal(numbers(network(x, t, label)), 0.0)
    scramble(network)
    patches = numbers(x).reshape(2, 2, 2, 3, 2).transpose(0, 1, 3, 2, 4).reshape(2, 6, 4)
    y, e = dense(network.stem, patches) + places((2, 3), 16), numbers(network.embedding(t, label))
    for block in network.blocks:
        y = block_in_numpy(block, y, e)
    shift, scale = np.split(dense(network.modulation, silu(e))[:, None], 2, axis=-1)
    expected = dense(network.head, normal(y) * (1.0 + scale) + shift)
    expected = expected.reshape(2, 2, 3, 2, 2).transpose(0, 1, 3, 2, 4).reshape(2, 4, 6, 1)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(numbers(network(x, t, label)), expected, atol=1e-4)


def test_places_are_waves_along_each_axis() -> None:
    found = places((3, 5), 8)
    assert found.shape == (15, 8)
    row, column = 2, 3
    expected = [f(k * r) for k in (row, column) for f in (np.sin, np.cos) for r in (1.0, 0.01)]
    np.testing.assert_allclose(found[row * 5 + column], expected, atol=1e-6)
    assert len(np.unique(found.round(6), axis=0)) == 15  # no two places alike
    uneven = places((2, 2, 2), 16)
    assert uneven.shape == (8, 16)
    np.testing.assert_array_equal(uneven[:, 12:], 0.0)


@pytest.mark.parametrize("shape", [(7,), (9, 2), (3, 5, 4, 1)])
def test_sides_of_any_length_are_kept_and_every_place_counts(shape: tuple[int, ...]) -> None:
    network = DiffusionTransformer(shape, **{**SMALL, "depth": 1})
    scramble(network)
    x, t, weights = tensor(1, *shape), tensor(1, seed=1), tensor(1, *shape, seed=2)
    slopes = numbers(backend.grad(lambda x: network(x, t) * weights)(x))
    assert slopes.shape == (1, *shape)
    assert (np.abs(slopes) > 1e-6).all()
    assert np.abs(numbers(network(x, t))).min() > 0.0


def test_without_a_label_samples_are_those_of_the_class_that_means_none() -> None:
    model = genloom.create("diffusion/dit", IMAGE, **SMALL, steps=2, clip=False)
    scramble(model.denoiser)
    keys = random.keys(0, 3)
    none, null, one = (
        numbers(model.draw(keys, {} if k is None else {"label": ops.full((3,), k, "int32")})) for k in (None, 3, 1)
    )
    np.testing.assert_array_equal(none, null)
    assert np.abs(none - one).max() > 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {"process": "cosine", "target": "velocity", "weighting": "min_snr", "sampler": "dpm_2m"},
        {"process": "exploding", "target": "noise", "weighting": "simple", "sampler": "ancestral"},
    ],
)  # fmt: skip
def test_it_takes_other_processes_targets_and_samplers(options: dict[str, Any]) -> None:
    model = genloom.create("diffusion/dit", IMAGE, **{**SMALL, "depth": 1, **options}, steps=2, compile=False)
    scramble(model.denoiser)
    x, label = tensor(4, 5, 7, 1), ops.zeros((4,), "int32")
    u = ops.convert_to_tensor(np.linspace(0.1, 0.9, 4, dtype="float32"))
    assert np.isfinite(numbers(model._errors(x, u, tensor(4, 5, 7, 1, seed=1), label))).all()
    found = numbers(model.draw(random.keys(0, 4), {"label": label}, guidance=2.0))
    assert found.shape == (4, 5, 7, 1)
    assert np.ptp(found, axis=0).mean() > 0.1


def test_it_has_a_derivative_by_two_times() -> None:
    network = DiffusionTransformer((4, 4, 1), **{**SMALL, "depth": 1}, times=2, longest=30.0)
    scramble(network)
    x, step = tensor(2, 4, 4, 1), 2e-3
    t = ops.convert_to_tensor(np.array([[0.6, 0.2], [0.9, 0.4]], "float32"))
    found = numbers(backend.jvp(lambda t: network(x, t), (t,), (ops.ones_like(t),))[1])
    numerical = (numbers(network(x, t + step)) - numbers(network(x, t - step))) / (2 * step)
    np.testing.assert_allclose(found, numerical, rtol=0.03, atol=0.01 * np.abs(numerical).max())


class Jumping(MeanFlow):
    """A mean flow over the transformer: forward mode through its attention, then the gradient of what that gave."""

    own_networks: ClassVar = {"denoiser": functools.partial(transformer_for, times=2)}


def test_mean_flows_have_a_gradient_through_its_attention() -> None:
    model = Jumping(IMAGE, **{**SMALL, "depth": 1}, noise="portable")
    scramble(model.denoiser)
    x, label = tensor(4, 5, 7, 1), ops.zeros((4,), "int32")
    t = ops.convert_to_tensor(np.linspace(0.3, 0.9, 4, dtype="float32"))
    errors = backend.grad(lambda noise: model._mean_errors(x, noise, t, 0.5 * t, label))
    slopes = numbers(errors(tensor(4, 5, 7, 1, seed=1)))
    assert np.isfinite(slopes).all()
    assert (np.abs(slopes) > 1e-6).all()


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ConfigError, match="width of 16 cannot be cut into 3 heads"):
        genloom.create("diffusion/dit", IMAGE, **{**SMALL, "heads": 3})
