"""Optimal transport within a batch: near the cost of the best assignment, with no change of the noise as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops
from scipy.optimize import linear_sum_assignment

import genloom
from genloom import DataSpec, random
from genloom.errors import ConfigError
from genloom_diffusion.coupling import plan, transported

pytestmark = pytest.mark.any_engine

LINE = DataSpec((2,), kind="signal", value_range=None, classes=3, condition=("label",))


def batch(seed: int, n: int = 128, size: int = 2) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2, (n, 1)) * 2.0 - 1.0
    x, noise = centres + 0.2 * rng.normal(size=(n, size)), rng.normal(size=(n, size))
    return tuple(v.astype("float32") for v in (x, noise, rng.uniform(size=n)))


def dealt(x: np.ndarray, noise: np.ndarray, uniform: np.ndarray, label: Any = None) -> np.ndarray:
    arrays = [ops.convert_to_tensor(v) for v in (x, noise, uniform)]
    return np.asarray(ops.convert_to_numpy(transported(*arrays, label)))


@pytest.mark.parametrize("size", [1, 2, 16])
def test_the_cost_is_near_that_of_the_best_assignment(size: int) -> None:
    gained = []
    for seed in range(5):
        x, noise, uniform = batch(seed, size=size)
        cost = ((x[:, None] - noise[None]) ** 2).sum(-1)
        best, independent = cost[linear_sum_assignment(cost)].mean(), cost.mean()
        found = ((x - dealt(x, noise, uniform)) ** 2).sum(-1).mean()
        gained.append((independent - found) / (independent - best))
    assert np.mean(gained) > 0.9


def test_columns_of_the_plan_sum_to_one() -> None:
    x, noise, _ = batch(0)
    cost = ops.convert_to_tensor(((x[:, None] - noise[None]) ** 2).sum(-1))
    shares = np.asarray(ops.convert_to_numpy(plan(cost, ops.ones((128, 128), dtype="bool"))))
    np.testing.assert_allclose(shares.sum(1), 1.0, atol=1e-5)
    assert np.abs(shares.sum(0) - 1.0).max() < 0.1


def test_noise_stays_normal_and_its_own() -> None:
    """Over many batches, of each class: mean 0 and variance 1 within four deviations."""
    label = np.arange(128) % 2
    found: list[np.ndarray] = []
    for seed in range(100):
        x, noise, uniform = batch(seed, size=1)
        x = x * 0.1 + 2.0 * label[:, None].astype("float32")  # classes apart
        given = dealt(x, noise, uniform, ops.convert_to_tensor(label.astype("int32")))
        assert all(np.isin(given[label == k], noise[label == k]).all() for k in (0, 1))
        found.append(given[:, 0])
    for k in (0, 1):
        drawn = np.concatenate([each[label == k] for each in found])
        assert abs(drawn.mean()) < 4 / np.sqrt(len(drawn))
        assert drawn.var() == pytest.approx(1.0, abs=4 * np.sqrt(2 / len(drawn)))


def test_a_flow_trains_with_it() -> None:
    """Its first loss is lower, by what the paths of a batch no longer cross: the error of ε - x is their spread."""
    rng = np.random.default_rng(0)
    x = {"x": rng.normal(size=(256, 2)).astype("float32"), "label": (np.arange(256) % 3).astype("int32")}
    losses = {}
    for coupling in ("independent", "ot"):
        model = genloom.create("diffusion/flow", LINE, width=8, depth=1, noise="portable", coupling=coupling)
        arrays = {name: ops.convert_to_tensor(value) for name, value in x.items()}
        with random.training_noise(random.NoiseStream(0, 0, "portable")):
            losses[coupling] = float(ops.convert_to_numpy(model._loss(arrays)[0]))
    assert losses["independent"] == pytest.approx(2.0, rel=0.2)  # the untrained network says 0
    assert losses["ot"] < 0.3 * losses["independent"]


@pytest.mark.parametrize(
    "asked", [{"sampler": "ancestral"}, {"sampler": "ddim", "eta": 0.5}, {"sampler": "heun", "churn": 4.0}], ids=str
)
def test_samplers_that_add_noise_are_refused(asked: dict[str, Any]) -> None:
    """With paired noise the network's x̂ is no score."""
    model = genloom.create("diffusion/flow", LINE, width=8, depth=1, coupling="ot")
    with pytest.raises(ConfigError, match=r"adds noise, and coupling=ot"):
        genloom.sample(model, 2, **asked)
    with pytest.raises(ConfigError, match=r"adds noise, and coupling=ot"):
        genloom.create("diffusion/flow", LINE, coupling="ot", **asked)
