"""One training step: each phase moves its own variables, state advances, and what is undeclared is an error."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from genloom import backend
from genloom.data import ArraySplit
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, DataError
from genloom.evaluation.heldout import losses
from genloom.layers import Dropout
from genloom.model import GenerativeModel, Phase
from genloom.model.naming import variable_names
from genloom.model.optimizers import Muon

SPEC = DataSpec((4,), kind="signal", value_range=None)


class TwoPhase(GenerativeModel):
    """A WGAN-GP in miniature: batch-norm in the generator, dropout in the critic, two critic updates a step."""

    validation = ("score",)

    def __init__(self, spec=SPEC, *, seed=0, noise="native", repeats=2, dropout=0.2):
        super().__init__(spec, seed=seed, noise=noise)
        self.repeats = repeats
        self.traces = 0
        self.generator = keras.Sequential(
            [
                layers.Input((3,)),
                layers.Dense(8, use_bias=False),  # a bias here has no gradient, and Adam would magnify its rounding
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Dense(4),
            ]
        )
        self.critic = keras.Sequential(
            [layers.Input((4,)), layers.Dense(8, activation="tanh"), Dropout(dropout), layers.Dense(1)]
        )

    def phases(self):
        return [
            Phase("critic", self.critic.trainable_variables, self.critic_loss, ("penalty",), repeats=self.repeats),
            Phase("generator", self.generator.trainable_variables, self.generator_loss),
        ]

    def critic_loss(self, batch):
        self.traces += 1
        x = batch["x"]
        fake = self.generator(self.normal((x.shape[0], 3)), training=True)
        slope = backend.grad(lambda z: self.critic(z, training=True))(x)
        penalty = ops.mean((ops.sqrt(ops.sum(slope**2, axis=-1) + 1e-12) - 1.0) ** 2)
        score = ops.mean(self.critic(fake, training=True)) - ops.mean(self.critic(x, training=True))
        return score + 10.0 * penalty, {"penalty": penalty}, 1.0

    def generator_loss(self, batch):
        z = self.normal((batch["x"].shape[0], 3))
        return -ops.mean(self.critic(self.generator(z, training=True), training=True)), {}, 1.0

    def validate(self, batch):
        return {"score": self.critic(batch["x"])[:, 0]}

    def draw(self, keys, condition):
        from genloom import random

        return self.generator(random.normal(keys, (3,)))


def batches(rows, count=1, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, rows, 4)).astype("float32")
    return [{"x": part} for part in x]


def fit(model, data, **kwargs):
    """Fit one epoch over a list of batches, in their order."""
    endless = ((batch,) for _ in range(100) for batch in data)
    return model.fit(endless, steps_per_epoch=len(data), verbose=0, shuffle=False, **kwargs).history


def values(model):
    model.sync_state()
    return {name: ops.convert_to_numpy(v.value).copy() for name, v in variable_names(model).items()}


@pytest.mark.parametrize("moving", ["critic", "generator"])
def test_each_phase_moves_only_its_own_variables(moving):
    model = TwoPhase()
    rates = {name: 0.1 if name == moving else 0.0 for name in ("critic", "generator")}
    model.compile({name: keras.optimizers.SGD(rate) for name, rate in rates.items()})
    before = values(model)
    fit(model, batches(16))
    for name, value in values(model).items():
        network, variable = name.split("/")[0], name.split("/")[-1]
        if variable in ("kernel", "gamma") and network in ("critic", "generator"):
            assert np.array_equal(value, before[name]) == (network != moving), name


def test_batch_statistics_and_counters_advance():
    model = TwoPhase()
    model.compile(keras.optimizers.Adam(1e-3))
    before = values(model)
    fit(model, batches(16, 3))
    after = values(model)
    assert int(after["step"]) == 3
    assert not np.array_equal(after["generator/1/moving_mean"], before["generator/1/moving_mean"])
    assert int(model.optimizer.iterations.value) == 3
    assert int(model.optimizer.phases["critic"].iterations.value) == 6


def test_repeats_see_fresh_real_slices():
    """With a linear critic and SGD the weight moves by rate × (mean of slice 1 + mean of slice 2)."""

    class Linear(GenerativeModel):
        def __init__(self):
            super().__init__(SPEC)
            self.dense = keras.Sequential([layers.Input((4,)), layers.Dense(1, use_bias=False)])

        def phases(self):
            loss = lambda batch: (ops.mean(self.dense(batch["x"])), {}, 1.0)  # noqa: E731
            return [Phase("critic", self.dense.trainable_variables, loss, repeats=2)]

    model = Linear()
    model.compile(keras.optimizers.SGD(1.0))
    before = values(model)["dense/0/kernel"][:, 0]
    (batch,) = batches(16)
    fit(model, [batch])
    moved = values(model)["dense/0/kernel"][:, 0] - before
    np.testing.assert_allclose(moved, -(batch["x"][:8].mean(0) + batch["x"][8:].mean(0)), rtol=1e-4, atol=1e-6)


class Game(GenerativeModel):
    """The bilinear game min_a max_b a·b, whose two update rules differ in closed form."""

    def __init__(self):
        super().__init__(SPEC)
        self.a = self.add_weight(shape=(), initializer="ones", name="a")
        self.b = self.add_weight(shape=(), initializer="ones", name="b")

    def phases(self):
        return [
            Phase("a", [self.a], lambda batch: (self.a * self.b, {}, 1.0)),
            Phase("b", [self.b], lambda batch: (-self.a * self.b, {}, 1.0)),
        ]


@pytest.mark.parametrize(("update", "b"), [("alternating", 1.0 + 0.1 * 0.9), ("simultaneous", 1.0 + 0.1 * 1.0)])
def test_the_two_update_rules_in_closed_form(update, b):
    model = Game()
    model.compile(keras.optimizers.SGD(0.1), update=update)
    fit(model, batches(4))
    after = values(model)
    assert float(after["a"]) == pytest.approx(0.9)
    assert float(after["b"]) == pytest.approx(b)


def test_a_phase_runs_every_k_steps_and_leaves_no_trace_otherwise():
    class Lazy(Game):
        def phases(self):
            phases = super().phases()
            return [phases[0], Phase("b", [self.b], lambda batch: (-self.b, {}, 1.0), every=3)]

    model = Lazy()
    model.compile({"a": keras.optimizers.SGD(0.0), "b": keras.optimizers.SGD(1.0)})
    fit(model, batches(4, 7))  # steps 0 … 6: due at 0, 3 and 6
    assert float(values(model)["b"]) == pytest.approx(4.0)
    assert int(model.optimizer.phases["b"].iterations.value) == 3


def test_log_keys_report_epoch_means():
    model = Game()
    model.compile(keras.optimizers.SGD(0.0))
    model.b.assign(3.0)
    history = fit(model, batches(4, 5))
    assert history["a_loss"] == [pytest.approx(3.0)]
    assert set(history) == {"a_loss", "b_loss"}


def test_no_retracing_after_the_first_epoch():
    model = TwoPhase()
    model.compile(keras.optimizers.Adam(1e-3))
    fit(model, batches(16, 3))
    traced = model.traces
    fit(model, batches(16, 3))
    assert model.traces == traced


def test_same_seed_trains_to_the_same_weights_and_another_seed_to_others():
    def trained(seed):
        model = TwoPhase(seed=seed)
        model.compile(keras.optimizers.Adam(1e-2))
        fit(model, batches(16, 4))
        return values(model)

    first, again, other = trained(1), trained(1), trained(2)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert not np.array_equal(first["critic/0/kernel"], other["critic/0/kernel"])


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.05, momentum=0.9),
        lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 10)),
        lambda: keras.optimizers.RMSprop(1e-3, global_clipnorm=1.0),
        lambda: keras.optimizers.AdamW(1e-3, weight_decay=0.1),
        lambda: keras.optimizers.Lion(1e-3),
        lambda: Muon(1e-3),
    ],
    ids=["sgd", "schedule", "clipped", "decay", "lion", "muon"],
)
def test_a_compiled_step_equals_an_eager_one(optimizer):
    """Captured, jitted or graphed, four steps must end where plain Python ends."""

    def trained(eagerly):
        model = TwoPhase(seed=3)
        model.compile(optimizer(), ema=0.9, accumulate=2, run_eagerly=eagerly)
        fit(model, batches(16, 4))
        if backend.name() == "torch" and not eagerly:
            assert model._captured.fallback is None
            assert model._captured.captures == 1
        shadows = [ops.convert_to_numpy(v.value) for v in model.optimizer.shadows]
        return [*values(model).values(), *shadows]

    for compiled, eager in zip(trained(False), trained(True), strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=2e-4, atol=2e-5)


def test_rates_keep_their_ratio_when_one_is_set():
    model = TwoPhase()
    model.compile({"critic": keras.optimizers.Adam(4e-4), "generator": keras.optimizers.Adam(1e-4)})
    model.optimizer.learning_rate = 2e-4
    assert model.optimizer.rates() == {"critic": pytest.approx(2e-4), "generator": pytest.approx(5e-5)}


def test_the_average_of_weights_follows_its_formula():
    class Ramp(GenerativeModel):
        def __init__(self):
            super().__init__(SPEC)
            self.w = self.add_weight(shape=(), initializer="zeros", name="w")

        def phases(self):
            return [Phase("w", [self.w], lambda batch: (-self.w, {}, 1.0))]

    model = Ramp()
    model.compile(keras.optimizers.SGD(1.0), ema=0.5)
    fit(model, batches(4, 12))
    average = 0.0
    for t in range(1, 13):
        keep = min(0.5, (1 + t) / (10 + t))
        average += (1 - keep) * (t - average)
    assert float(ops.convert_to_numpy(model.optimizer.shadows[0].value)) == pytest.approx(average, rel=1e-5)
    with model.averaged_weights():
        assert float(ops.convert_to_numpy(model.w.value)) == pytest.approx(average, rel=1e-5)
    assert float(ops.convert_to_numpy(model.w.value)) == 12.0


def test_the_average_of_statistics_follows_its_formula():
    """Batch-norm's moments are averaged as the weights are, which stay; a counter is no statistic."""

    class Counted(layers.Layer):
        def __init__(self):
            super().__init__()
            self.calls = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="calls")

        def call(self, x, training=False):
            if training:
                self.calls.assign_add(1)
            return x

    class Normed(GenerativeModel):
        def __init__(self):
            super().__init__(SPEC)
            self.network = keras.Sequential(
                [layers.Input((4,)), layers.BatchNormalization(momentum=0.9), Counted(), layers.Dense(1)]
            )

        def phases(self):
            loss = lambda batch: (ops.mean(self.network(batch["x"], training=True)), {}, 1.0)  # noqa: E731
            return [Phase("all", self.network.trainable_variables, loss)]

    model, data = Normed(), batches(8, 12)
    model.compile(keras.optimizers.SGD(0.0), ema=0.5)
    fit(model, data)
    moments = {"moving_mean": np.zeros(4), "moving_variance": np.ones(4)}
    averages = dict(moments)
    for t, batch in enumerate(data, 1):
        now = {"moving_mean": batch["x"].mean(0), "moving_variance": batch["x"].var(0)}
        keep = min(0.5, (1 + t) / (10 + t))
        for name in moments:
            moments[name] = 0.9 * moments[name] + 0.1 * now[name]
            averages[name] = keep * averages[name] + (1 - keep) * moments[name]
    before = values(model)
    with model.averaged_weights():
        during = values(model)
    for name in moments:
        np.testing.assert_allclose(before[f"network/0/{name}"], moments[name], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(during[f"network/0/{name}"], averages[name], rtol=1e-5, atol=1e-6)
    assert int(before["network/1/calls"]) == int(during["network/1/calls"]) == 12
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_statistics_of_frozen_layers_have_no_average():
    model = TwoPhase()
    assert [v.name for v in model.statistics()] == ["moving_mean", "moving_variance"]
    model.generator.trainable = False
    assert model.statistics() == []


def test_validation_moves_no_counter_and_masks_padding():
    model = TwoPhase()
    model.compile(keras.optimizers.Adam(1e-3))
    before = values(model)
    x = np.concatenate([batches(6)[0]["x"], np.full((2, 4), 1e3, "float32")])
    mask = np.array([1] * 6 + [0] * 2, "float32")
    found = model.evaluate({"x": x, "mask": mask}, batch_size=4, verbose=0, return_dict=True)["score"]
    expected = ops.convert_to_numpy(model.critic(x[:6])).mean()
    assert found == pytest.approx(float(expected), abs=1e-6)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_held_out_values_are_means_by_weight():
    class Weighted(TwoPhase):
        def validate(self, batch):
            return {"score": batch["x"][:, 0]}

        def validation_weights(self, batch):
            return batch["x"][:, 1]

    model = Weighted()
    model.compile(keras.optimizers.Adam(1e-3))
    x = np.zeros((6, 4), "float32")
    x[:, 0], x[:, 1] = [1, 2, 3, 4, 5, 100], [0, 1, 2, 0, 3, 7]
    mask = np.array([1, 1, 1, 1, 1, 0], "float32")
    found = model.evaluate({"x": x, "mask": mask}, batch_size=2, verbose=0, return_dict=True)["score"]
    assert found == pytest.approx((2 * 1 + 3 * 2 + 5 * 3) / 6)
    split = ArraySplit(x[:5])
    assert losses(model, split, batch_size=2)["score"] == pytest.approx((2 * 1 + 3 * 2 + 5 * 3) / 6)
    with pytest.raises(DataError, match="No held-out sample counts in 'score'"):
        model.evaluate({"x": x, "mask": np.zeros(6, "float32")}, batch_size=2, verbose=0)
    with pytest.raises(DataError, match="None of 1 held-out samples counts"):
        losses(model, ArraySplit(x[:1]))


def test_parts_that_all_weigh_nothing_move_nothing():
    class Weightless(Game):
        def phases(self):
            return [Phase("ab", [self.a, self.b], lambda batch: (self.a * self.b, {}, ops.sum(batch["x"][:, 0])))]

    model = Weightless()
    model.compile(keras.optimizers.SGD(0.1), accumulate=2)
    fit(model, [{"x": np.zeros((4, 4), "float32")}])
    assert float(values(model)["a"]) == float(values(model)["b"]) == 1.0


@pytest.mark.parametrize(
    ("optimizer", "word"),
    [
        (lambda: keras.optimizers.Adam(1e-3, use_ema=True), "sets use_ema=True"),
        (lambda: keras.optimizers.Adam(1e-3, gradient_accumulation_steps=2), "accumulate="),
        (lambda: {"a": keras.optimizers.SGD(0.1)}, "no optimizer"),
        (lambda: {"a": keras.optimizers.SGD(0.1), "bb": keras.optimizers.SGD(0.1)}, "Did you mean 'b'"),
    ],
)
def test_optimizers_that_would_be_ignored_in_silence_are_refused(optimizer, word):
    with pytest.raises(ConfigError, match=word):
        Game().compile(optimizer())


def test_a_batch_that_cannot_be_cut_is_an_error():
    model = TwoPhase()
    model.compile(keras.optimizers.SGD(0.1))
    with pytest.raises(ConfigError, match="15 rows cannot be cut into 2 slices"):
        fit(model, batches(15))
