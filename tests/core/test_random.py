"""Counter-based random numbers: published vectors, distributions, and independence of batch and backend."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from genloom import DataSpec, GenerativeModel, Phase, random

# Random123's known answers for threefry2x32 with 20 rounds: counter, key, result.
KNOWN = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


def words(pair):
    return tuple(np.array([word], "uint32").view("int32") for word in pair)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
@pytest.mark.parametrize("xp", [np, ops], ids=["numpy", "keras.ops"])
def test_known_answers(counter, key, expected, xp):
    with np.errstate(over="ignore"):
        key, counter = words(key), words(counter)
        if xp is ops:
            key = tuple(ops.convert_to_tensor(w) for w in key)
            counter = tuple(ops.convert_to_tensor(w) for w in counter)
        result = random.threefry(key, counter, xp=xp)
    assert tuple(int(ops.convert_to_numpy(w)[0]) & 0xFFFFFFFF for w in result) == expected


@pytest.mark.parametrize("shape", [(7, 7), (7, 3), (3, 7)])
def test_broadcast_keys_and_counters_agree_with_numpy(shape):
    """Square shapes matter: an addition that mistakes a column of keys for a bias passes on the others."""
    rng = np.random.default_rng(0)
    key = rng.integers(-(2**31), 2**31, (2, shape[0], 1)).astype("int32")
    counter = np.arange(shape[1], dtype="int32")[None]
    with np.errstate(over="ignore"):
        expected = random.threefry((key[0], key[1]), (counter, counter * 0), xp=np)
    tensors = [ops.convert_to_tensor(a) for a in (key[0], key[1], counter, counter * 0)]
    found = random.threefry((tensors[0], tensors[1]), (tensors[2], tensors[3]))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, ops.convert_to_numpy(b))


def test_normals_are_the_same_numbers_on_every_backend():
    found = ops.convert_to_numpy(random.normal(random.fold(random.keys(1, 3, domain="training"), 2), (3,)))[0]
    np.testing.assert_allclose(found, [0.97756004, -0.76948583, -0.76998675], atol=5e-7)


def test_a_sample_does_not_depend_on_its_batch():
    whole = ops.convert_to_numpy(random.normal(random.keys(9, 64), (5,)))
    alone = ops.convert_to_numpy(random.normal(random.keys(9, 1, offset=37), (5,)))
    np.testing.assert_allclose(whole[37:38], alone, atol=5e-7)  # the bits are equal; log and cos vectorise differently


def test_keys_by_sample_number_equal_keys_by_offset():
    by_number = random.keys(4, ops.convert_to_tensor(np.array([5, 6, 7], "int32")))
    np.testing.assert_array_equal(ops.convert_to_numpy(by_number), ops.convert_to_numpy(random.keys(4, 3, offset=5)))


@pytest.mark.parametrize("change", ["seed", "domain", "fold", "high seed bits"])
def test_every_part_of_a_key_matters(change):
    base = random.keys(3, 4)
    other = {
        "seed": lambda: random.keys(4, 4),
        "domain": lambda: random.keys(3, 4, domain="validation"),
        "fold": lambda: random.fold(base, 0),
        "high seed bits": lambda: random.keys(3 + (1 << 40), 4),
    }[change]()
    assert not np.any(ops.convert_to_numpy(base) == ops.convert_to_numpy(other))


def test_distributions():
    """Kolmogorov–Smirnov at 40,000 draws notices a shift of 0.01; the seed is fixed, so the test cannot flicker."""
    keys = random.keys(0, 400)
    uniform = ops.convert_to_numpy(random.uniform(keys, (100,))).ravel()
    normal = ops.convert_to_numpy(random.normal(random.fold(keys, 1), (10, 10))).ravel()
    assert uniform.min() > 0.0
    assert uniform.max() < 1.0
    assert stats.kstest(uniform, "uniform").pvalue > 0.01
    assert stats.kstest(normal, "norm").pvalue > 0.01


def test_no_bits_make_a_uniform_of_zero_or_one():
    """One in 2^24 draws has all bits set; its class of probability 0 would be drawn then."""
    ends = ops.convert_to_numpy(random._unit(ops.convert_to_tensor(np.array([0, -1], np.int32))))
    assert 0.0 < ends[0] < ends[1] < 1.0


def test_neighbouring_keys_and_steps_are_uncorrelated():
    keys = random.keys(0, 2000)
    first = ops.convert_to_numpy(random.normal(keys, (2,)))
    second = ops.convert_to_numpy(random.normal(random.fold(keys, 1), (2,)))
    columns = np.concatenate([first[:-1], first[1:], second[:-1]], axis=1)
    correlation = np.corrcoef(columns.T) - np.eye(6)
    assert np.abs(correlation).max() < 4 / np.sqrt(2000)


def test_categorical_frequencies():
    p = np.array([0.5, 0.3, 0.15, 0.05])
    drawn = ops.convert_to_numpy(random.categorical(random.keys(5, 20_000), np.log(p).astype("float32")))
    counts = np.bincount(drawn, minlength=4)
    assert stats.chisquare(counts, p * 20_000).pvalue > 0.01


class Drawing(GenerativeModel):
    """Two numbers that are moved by noise alone."""

    def __init__(self, seed=0, noise="native"):
        super().__init__(DataSpec((2,), kind="signal", value_range=None), seed=seed, noise=noise)
        self.w = self.add_weight(shape=(2,), initializer="zeros", name="w")

    def phases(self):
        loss = lambda batch: (ops.sum(self.w * ops.mean(self.normal((4, 2)), axis=0)), {}, 1.0)  # noqa: E731
        return [Phase("w", [self.w], loss)]


@pytest.mark.parametrize("noise", ["native", "portable"])
def test_noise_outside_a_step_is_ever_new_and_follows_the_seed(noise):
    one, same, other = Drawing(3, noise), Drawing(3, noise), Drawing(4, noise)
    first, second, again, elsewhere = (ops.convert_to_numpy(model.normal((2, 3))) for model in (one, one, same, other))
    np.testing.assert_array_equal(first, again)
    for drawn in (second, elsewhere):
        assert np.abs(first - drawn).max() > 0.1
    uniform = [ops.convert_to_numpy(one.uniform((2, 3))) for _ in range(2)]
    assert np.abs(uniform[0] - uniform[1]).max() > 0.1


@pytest.mark.parametrize("noise", ["native", "portable"])
def test_noise_outside_steps_changes_none_within(noise):
    one, same = Drawing(3, noise), Drawing(3, noise)
    batch = {"x": np.zeros((4, 2), "float32")}
    for model, drawn in ((one, 3), (same, 0)):
        model.compile(keras.optimizers.SGD(1.0))
        for _ in range(2):
            model.fit(batch, batch_size=4, verbose=0)
            for _ in range(drawn):
                model.normal((2, 3))
    moved = [ops.convert_to_numpy(model.w.value) for model in (one, same)]
    np.testing.assert_array_equal(*moved)
    assert np.abs(moved[0]).min() > 1e-3
