"""Masked diffusion against exact conditionals: the bound, the samplers, the gradient, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special, stats

import genloom
from genloom import DataSpec, backend, random
from genloom.errors import ConfigError
from genloom.model.networks import one_hot
from genloom_diffusion.masked import Masked
from genloom_diffusion.unmasking import SAMPLERS


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def spec_of(shape: tuple[int, ...]) -> DataSpec:
    """Tokens: as many places as the shape has axes, each with as many values as an axis is long."""
    return DataSpec((len(shape),), kind="text", dtype="int32", value_range=None, vocabulary=shape[0])


def table(length: int, values: int, seed: int = 0) -> np.ndarray:
    """A joint distribution that is far from independent."""
    return np.random.default_rng(seed).dirichlet(np.full(values**length, 0.3)).reshape((values,) * length)


CHAIN = np.array([[0.9, 0.1], [0.3, 0.7]])
RATE = 0.75 * stats.entropy(CHAIN[0]) + 0.25 * stats.entropy(CHAIN[1])


def chain(length: int) -> np.ndarray:
    """The joint distribution of a stationary Markov chain."""
    joint = np.array([0.75, 0.25])
    for _ in range(length - 1):
        joint = joint[..., None] * CHAIN
    return joint


class Exact(keras.Model):
    """The conditionals of a joint distribution, as logits; one weight that does nothing, for there must be one."""

    def __init__(self, joint: np.ndarray) -> None:
        super().__init__()
        self.values = joint.shape[0]
        self.states = np.indices(joint.shape).reshape(joint.ndim, -1).T.astype("int32")  # (s, length)
        self.p = joint.ravel().astype("float32")
        self.idle = self.add_weight(shape=(1,), initializer="zeros")
        self.built = True

    def call(self, z: Any) -> Any:
        states = ops.convert_to_tensor(self.states)
        z = ops.cast(z, "int32")[:, None]
        fits = ops.all(ops.logical_or(ops.equal(z, self.values), ops.equal(z, states[None])), axis=-1)  # (n, s)
        mass = ops.cast(fits, "float32") * ops.convert_to_tensor(self.p)
        found = ops.einsum("ns,slv->nlv", mass, one_hot(states, self.values))
        return ops.log(found + 1e-30) + 0.0 * self.idle


def exact(joint: np.ndarray, **options: Any) -> Masked:
    return Masked(spec_of(joint.shape), denoiser=Exact(joint), **options)


def states(joint: np.ndarray) -> np.ndarray:
    return np.indices(joint.shape).reshape(joint.ndim, -1).T.astype("int32")


def integrated(model: Masked, x: np.ndarray) -> np.ndarray:
    """The bound of each row of x in nats, over all masks: every number of masked tokens, at every choice of places."""
    n, length = x.shape
    masks = np.array(list(itertools.product([0, 1], repeat=length))[1:])  # (m, length)
    k = masks.sum(axis=1)
    u = np.tile((k - 0.5) / length, n).astype("float32")
    order = np.tile(1.0 - masks, (n, 1)).astype("float32")
    bounds = model.bound(*map(ops.convert_to_tensor, (np.repeat(x, len(masks), axis=0), u, order)))
    return array(bounds).reshape(n, -1) @ (1 / special.comb(length, k))  # the mean over k, times length


def drawn(model: Masked, n: int, condition: dict[str, np.ndarray] | None = None, **options: Any) -> np.ndarray:
    if condition is None:
        return genloom.sample(model, n, 3, chunk=n, **options).samples
    # `genloom.sample` reads conditions by the modality of texts, which another plugin brings.
    given = {name: ops.convert_to_tensor(value.astype("int32")) for name, value in condition.items()}
    return array(model.draw(random.keys(3, n), given, **options))


@pytest.mark.parametrize("joint", [table(3, 4), chain(5)], ids=["table", "chain"])
def test_with_exact_conditionals_the_bound_is_the_negative_log_likelihood(joint: np.ndarray) -> None:
    found = integrated(exact(joint), states(joint))
    np.testing.assert_allclose(found, -np.log(joint.ravel()), rtol=1e-5, atol=1e-5)


def test_on_a_markov_chain_it_grows_with_each_token_by_the_entropy_rate() -> None:
    shorter, longer = (float(integrated(exact(p), states(p)) @ p.ravel()) for p in (chain(4), chain(5)))
    assert longer - shorter == pytest.approx(RATE, abs=1e-5)


def test_with_other_conditionals_it_lies_above() -> None:
    joint, n = table(3, 4), 64
    found = integrated(exact(table(3, 4, seed=1)), states(joint))
    excess = found @ joint.ravel() - stats.entropy(joint.ravel())
    assert found.shape == (n,) and excess > 0.5


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_loss_is_the_bound_whatever_the_schedule(schedule: str) -> None:
    """Over many times and masks, within four standard errors; no time before 1/1000 is drawn."""
    joint, n = table(3, 4), 20_000
    rng = np.random.default_rng(0)
    model, state = exact(joint, schedule=schedule), int(np.argmax(joint))
    x = np.tile(states(joint)[state], (n, 1))
    u, order = ((np.arange(n) + rng.random(n)) / n).astype("float32"), rng.random((n, 3), "float32")
    losses = 3 * array(model.losses(ops.convert_to_tensor(x), u, ops.convert_to_tensor(order)))
    assert abs(losses.mean() + np.log(joint.ravel()[state])) < 4 * losses.std() / np.sqrt(n) + 0.003


def test_the_simple_weighting_counts_all_times_alike() -> None:
    """The mean over the tokens that are masked, at each time."""
    n = 20_000
    model = exact(np.full((4, 4, 4), 1 / 64), schedule="cosine", weighting="simple")
    rng = np.random.default_rng(0)
    x = ops.convert_to_tensor(rng.integers(0, 4, (n, 3)).astype("int32"))
    losses = array(model.losses(x, np.linspace(0, 1, n, dtype="float32"), rng.random((n, 3), "float32")))
    assert losses.mean() == pytest.approx(np.log(4), rel=0.02)


def test_log_prob_is_the_bound_on_all_numbers_of_masks() -> None:
    joint = np.full((4, 4, 4), 1 / 64)
    np.testing.assert_allclose(array(exact(joint).log_prob(states(joint))), -np.log(64), rtol=1e-5)


def p_value(samples: np.ndarray, joint: np.ndarray) -> float:
    """Chi-square of samples against a joint distribution."""
    cells = np.ravel_multi_index(tuple(samples.T), joint.shape)
    counts, expected = np.bincount(cells, minlength=joint.size), joint.ravel() * len(samples)
    rare = np.where(expected < 5, -1, np.arange(joint.size))  # counted together
    pooled = [np.array([c[rare == cell].sum() for cell in np.unique(rare)]) for c in (counts, expected)]
    return float(stats.chisquare(*pooled).pvalue)


def test_one_token_at_a_time_with_exact_conditionals_draws_the_joint_distribution() -> None:
    joint = table(3, 4)
    samples = drawn(exact(joint), 4096, sampler="random", steps=3)
    assert p_value(samples, joint) > 1e-3
    assert p_value(samples, table(3, 4, seed=1)) < 1e-6


def test_the_reverse_process_draws_it_in_many_steps_and_the_marginals_in_one() -> None:
    joint = table(3, 4)
    one = [joint.sum(axis=tuple({0, 1, 2} - {i})) for i in range(3)]
    assert p_value(drawn(exact(joint), 4096, steps=200), joint) > 1e-3
    independent = np.einsum("i,j,k->ijk", *one)
    assert p_value(drawn(exact(joint), 4096, steps=1), independent) > 1e-3
    assert p_value(drawn(exact(joint), 4096, steps=1), joint) < 1e-6


def test_the_surest_tokens_come_first() -> None:
    """Without noise: at every step the likeliest token of the place whose likeliest token is the likeliest."""
    joint = table(4, 3, seed=2)
    model, z = exact(joint), np.full((1, 4), 3, "int32")
    for _ in range(4):
        p = array(ops.softmax(model.logits(ops.convert_to_tensor(z))))[0] * (z[0] == 3)[:, None]
        place, token = np.unravel_index(np.argmax(p), p.shape)
        z[0, place] = token
    found = drawn(model, 1, sampler="confidence", steps=4, temperature=0.0, hesitation=0.0)
    np.testing.assert_array_equal(found, z)


def random_model(**options: Any) -> Masked:
    """A small network none of whose weights is zero."""
    spec = DataSpec((12,), kind="text", dtype="int32", value_range=None, vocabulary=5)
    model = Masked(spec, **{"layers": 1, "heads": 2, "width": 8, **options})
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.standard_normal(variable.shape))
    return model


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 5])
def test_what_is_given_stays_and_no_mask_is_left(sampler: str, steps: int) -> None:
    rng = np.random.default_rng(1)
    given = np.where(rng.random((64, 12)) < 0.4, rng.integers(0, 5, (64, 12)), -1).astype("int32")
    found = drawn(random_model(), 64, {"tokens": given}, sampler=sampler, steps=steps)
    assert found.dtype == np.int32 and found.min() >= 0 and found.max() < 5
    np.testing.assert_array_equal(found[given >= 0], given[given >= 0])
    assert len({tuple(row) for row in found}) > 60


class Counting(keras.Model):
    """Predicts everywhere the number of masks."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.values = length + 1
        self.idle = self.add_weight(shape=(1,), initializer="zeros")
        self.built = True

    def call(self, z: Any) -> Any:
        count = ops.sum(ops.cast(ops.equal(ops.cast(z, "int32"), self.values), "int32"), axis=-1, keepdims=True)
        return 100.0 * one_hot(ops.broadcast_to(count, ops.shape(z)), self.values) + self.idle


def counting(length: int) -> Masked:
    spec = DataSpec((length,), kind="text", dtype="int32", value_range=None, vocabulary=length + 1)
    return Masked(spec, denoiser=Counting(length))


@pytest.mark.parametrize("sampler", ["random", "confidence"])
def test_tokens_come_as_the_schedule_says_and_never_change(sampler: str) -> None:
    """A token says how many masks there were when it was drawn."""
    found = drawn(counting(12), 8, sampler=sampler, steps=6)
    assert (np.sort(found) == np.repeat([2, 4, 6, 8, 10, 12], 2)).all()
    given = np.full((8, 12), -1)
    given[:, 4:] = 0
    found = drawn(counting(12), 8, {"tokens": given}, sampler=sampler, steps=4)
    assert (np.sort(found[:, :4]) == [1, 2, 3, 4]).all()


def test_with_as_many_steps_as_tokens_each_comes_alone() -> None:
    """41 times a share of 41 is a little below a whole number in float32."""
    found = drawn(counting(41), 4, sampler="random", steps=41)
    assert (np.sort(found) == np.arange(1, 42)).all()


def test_the_gradient_is_that_of_plain_numpy() -> None:
    """Of a table of logits by token: softmax minus one-hot, of masked tokens by their weight."""
    spec = DataSpec((3,), kind="text", dtype="int32", value_range=None, vocabulary=4)
    network = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.Embedding(5, 4)])
    model = Masked(spec, denoiser=network)
    rng = np.random.default_rng(0)
    x, order = rng.integers(0, 4, (6, 3)).astype("int32"), rng.random((6, 3), "float32")
    u = np.linspace(0.1, 0.9, 6, dtype="float32")

    def loss() -> tuple[Any, tuple[()]]:
        return ops.mean(model.losses(*map(ops.convert_to_tensor, (x, u, order)))), ()

    (value, _), (gradient,) = backend.value_and_grad(loss, model.trainable_variables)
    logits = array(model.trainable_variables[0].value)[4]  # all that is masked reads the mask
    p = np.exp(logits - logits.max())
    p /= p.sum()
    t = 1e-3 + (1 - 1e-3) * u
    share = (order < t[:, None]) / t[:, None] / 3 / 6
    expected = np.zeros((5, 4))
    expected[4] = (share[..., None] * (p - np.eye(4)[x])).sum(axis=(0, 1))
    assert float(array(value)) == pytest.approx(-(share * np.log(p)[x]).sum(), rel=1e-5)
    np.testing.assert_allclose(array(gradient), expected, rtol=1e-4, atol=1e-6)


def test_without_training_every_token_costs_the_same() -> None:
    """The network begins with even predictions; validation weighs them as the bound does."""
    spec = DataSpec((12,), kind="text", dtype="int32", value_range=None, vocabulary=5, rate=2.0)
    x = np.random.default_rng(0).integers(0, 5, (4, 12)).astype("int32")
    values = Masked(spec, layers=1, heads=1, width=4).validate(
        {"x": ops.convert_to_tensor(x), "index": ops.arange(4, dtype="int32")}
    )
    np.testing.assert_allclose(array(values["bound"]), np.log(5), rtol=1e-5)
    np.testing.assert_allclose(array(values["nats_per_char"]), np.log(5) / 2, rtol=1e-5)


def test_places_differ_where_all_are_masked() -> None:
    """Columns of a table are told apart by nothing else."""
    logits = array(random_model().logits(ops.full((1, 12), 5, dtype="int32")))[0]
    assert np.abs(logits - logits[:1]).max(axis=1)[1:].min() > 1e-2


REFUSED = {
    "pictures": (
        lambda: Masked(DataSpec((8, 8, 1))),
        r"needs tokens with a vocabulary, got image of shape \(8, 8, 1\)",
    ),
    "heads": (lambda: random_model(heads=3), "heads=3 must cut width=8 into even parts"),
    "network": (
        lambda: Masked(spec_of((4, 4, 4)), denoiser=keras.layers.Embedding(5, 3)),
        r"must map \(3,\) to \(3, 4\).*returns \(3, 3\)",
    ),
    "schedule": (lambda: random_model(schedule="cosin"), "Did you mean 'cosine'"),
    "prompt": (lambda: genloom.sample(random_model(), 1, 3, {"prompt": "a"}), "no tokenizer"),
    "tokens": (lambda: genloom.sample(random_model(), 1, 3, {"tokens": np.full(12, 5)}), "from 0 to 4"),
    "length": (lambda: genloom.sample(random_model(), 1, 3, {"tokens": np.zeros(11, int)}), r"of shape \(1, 12\)"),
    "packed": (
        lambda: random_model().validate({"x": np.zeros((2, 12)), "weight": np.ones((2, 12))}),
        "packed documents",
    ),
}


@pytest.mark.parametrize(("call", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        call()


def test_steps_are_network_calls() -> None:
    assert genloom.sample(random_model(), 2, 0, steps=7).evaluations == 7
