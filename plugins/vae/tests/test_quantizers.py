"""Quantizers against NumPy: codes and their numbers, the nearest of vectors, averages, straight-through gradients."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from genloom import backend
from genloom.errors import ConfigError
from genloom_vae.quantizers import FiniteScalars, NearestVectors, Quantizer, spread_of


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def passed(quantizer: Quantizer, z: Any) -> Any:
    return quantizer.passed(z, quantizer.digits(z))


def commitment(quantizer: Quantizer, z: Any) -> Any:
    return quantizer.commitment(z, quantizer.digits(z))


@pytest.fixture(params=["float32", "mixed_bfloat16"])
def policy(request: pytest.FixtureRequest) -> Any:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2, 3)])
def test_every_code_has_a_number_of_its_own_and_its_vector_gives_it_back(levels: tuple[int, ...], policy: str) -> None:
    """In bfloat16, which counts to 256 only, too."""
    fsq = FiniteScalars(levels)
    numbers = np.arange(fsq.codes, dtype="int32")
    digits = fsq.digits_of(ops.convert_to_tensor(numbers))
    expected = np.array(list(itertools.product(*map(range, levels[::-1]))))[:, ::-1]  # the first digit counts least
    np.testing.assert_array_equal(array(digits), expected)
    np.testing.assert_array_equal(array(fsq.index(digits)), numbers)
    vectors = fsq.vectors(digits)
    np.testing.assert_allclose(array(vectors), 2.0 * expected / (np.array(levels) - 1) - 1.0, atol=1e-6)
    np.testing.assert_array_equal(array(fsq.index(fsq.nearest(vectors))), numbers)


def test_a_scalar_goes_to_the_nearest_of_its_levels() -> None:
    levels = (8, 5, 3, 2)
    z = np.random.RandomState(0).normal(scale=1.5, size=(200, 4)).astype("float32")
    fsq = FiniteScalars(levels)
    values = np.tanh(z.astype("float64"))
    for channel, count in enumerate(levels):
        grid = np.linspace(-1.0, 1.0, count)
        nearest = np.abs(values[:, channel, None] - grid).argmin(1)
        np.testing.assert_array_equal(array(fsq.digits(z))[:, channel], nearest)
        np.testing.assert_allclose(array(passed(fsq, ops.convert_to_tensor(z)))[:, channel], grid[nearest], atol=1e-6)


def test_many_levels_cost_no_memory_and_do_not_steepen_the_gradient() -> None:
    fsq = FiniteScalars((1000, 1000, 1000))  # a table of a billion codes would not fit
    z = ops.convert_to_tensor(np.array([[0.3, -2.0, 9.0], [0.0, 40.0, -40.0]], "float32"))
    assert array(fsq.digits(z)).min() >= 0
    assert array(fsq.digits(z)).max() == 999
    assert array(fsq.index(fsq.digits(z))).min() >= 0
    np.testing.assert_allclose(
        array(backend.grad(lambda z: passed(fsq, z))(z)), 1.0 - np.tanh(array(z)) ** 2, atol=1e-6
    )
    usage, perplexity = spread_of(fsq.index(fsq.digits(z)), fsq.codes)
    np.testing.assert_allclose([float(array(usage)), float(array(perplexity))], [1.0, 2.0], rtol=1e-6)
    with pytest.raises(ConfigError, match=r"make 1e\+12 codes"):
        FiniteScalars((1000,) * 4)


def test_the_nearest_vector_is_found_as_by_search() -> None:
    rng = np.random.RandomState(1)
    vq, table = NearestVectors(12, 3), rng.normal(size=(12, 3)).astype("float32")
    vq.table.assign(table)
    z = rng.normal(size=(5, 2, 4, 3)).astype("float32")
    by_search = (np.square(z[..., None, :] - table).sum(-1)).argmin(-1)
    np.testing.assert_array_equal(array(vq.digits(ops.convert_to_tensor(z)))[..., 0], by_search)
    np.testing.assert_array_equal(array(passed(vq, ops.convert_to_tensor(z))).shape, z.shape)
    np.testing.assert_allclose(array(passed(vq, ops.convert_to_tensor(z))), table[by_search], atol=1e-6)
    away = 0.25 * np.square(z - table[by_search]).sum((1, 2, 3))
    np.testing.assert_allclose(array(commitment(vq, ops.convert_to_tensor(z))), away, rtol=1e-5)


def test_gradients_pass_a_code_straight_through() -> None:
    """The slope of Σ w·e by z is w, e being the code's vector; the commitment's is 2 β (z − e)."""
    rng = np.random.RandomState(2)
    vq = NearestVectors(6, 3, beta=0.4)
    z, w = (ops.convert_to_tensor(rng.normal(size=(4, 3)).astype("float32")) for _ in range(2))
    np.testing.assert_allclose(array(backend.grad(lambda z: w * passed(vq, z))(z)), array(w), rtol=1e-6)
    expected = 2 * 0.4 * (array(z) - array(vq.vectors(vq.digits(z))))
    np.testing.assert_allclose(array(backend.grad(lambda z: commitment(vq, z))(z)), expected, rtol=1e-4, atol=1e-6)


def test_codes_follow_their_averages_and_unused_ones_start_anew() -> None:
    """Against the sums written out, over several batches."""
    rng, decay, restart, codes = np.random.RandomState(3), 0.8, 0.3, 5
    vq = NearestVectors(codes, 2, decay, restart)
    table = rng.normal(size=(codes, 2)).astype("float32")
    table[1] = 9.0  # far from all
    vq.table.assign(table)
    table, counts, sums, anew = table.astype("float64"), np.zeros(codes), np.zeros((codes, 2)), 0
    for _ in range(6):
        z, u = rng.normal(size=(3, 4, 2)).astype("float32"), rng.uniform(size=codes).astype("float32")
        vq.learn(ops.convert_to_tensor(z), ops.convert_to_tensor(u))
        flat = z.reshape(-1, 2).astype("float64")
        chosen = np.square(flat[:, None] - table).sum(-1).argmin(1)
        for i in range(codes):
            counts[i] = decay * counts[i] + (1 - decay) * (chosen == i).sum()
            sums[i] = decay * sums[i] + (1 - decay) * flat[chosen == i].sum(0)
        even = counts.mean()
        for i in np.flatnonzero(counts < restart * even):
            anew += 1
            counts[i], sums[i] = even, even * flat[int(u[i] * 12)]
        table = sums / counts[:, None]
        np.testing.assert_allclose(array(vq.table.value), table, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(array(vq.counts.value), counts, rtol=1e-4)
    assert 0 < anew < 6 * codes


def test_without_restarts_an_unused_code_stays_where_it_is() -> None:
    vq = NearestVectors(2, 1, restart=0.0)
    vq.table.assign([[0.0], [100.0]])
    for _ in range(3):
        vq.learn(ops.convert_to_tensor(np.ones((4, 1), "float32")), ops.zeros((2,)))
    np.testing.assert_allclose(array(vq.table.value), [[1.0], [100.0]], rtol=1e-5)


@pytest.mark.parametrize("codes", [4, 1000])
def test_usage_and_perplexity_count_shares(codes: int) -> None:
    index = np.array([[0, 0, 1], [1, 1, 3]], "int32")
    usage, perplexity = spread_of(ops.convert_to_tensor(index), codes)
    shares = np.array([2, 3, 1]) / 6
    np.testing.assert_allclose(float(array(usage)), 3 / min(codes, 6), rtol=1e-6)
    np.testing.assert_allclose(float(array(perplexity)), np.exp(-(shares * np.log(shares)).sum()), rtol=1e-5)
