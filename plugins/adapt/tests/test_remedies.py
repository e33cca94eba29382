"""Remedies against forgetting: each does what its paper's equation says, and a run goes on with it exactly."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, Phase
from genloom.data import ArraySplit
from genloom.errors import ConfigError, DataError, NotFoundError
from genloom.model import Start
from genloom.plugins.registry import chosen
from genloom_adapt import AGEM, EWC, L2SP, EWCOptions, L2SPOptions, LwF, LwFOptions, ReplayOptions, remedies
from genloom_adapt.anchoring import fisher
from genloom_adapt.rehearsal import Mixed, Paired

SPEC = DataSpec((2,), kind="signal", value_range=None)


class Gaussian(genloom.GenerativeModel):
    """-log p(x) = ½ ‖x - θ‖² and a constant: its gradient is θ - x, its Fisher information known."""

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.theta = self.add_weight(shape=(2,), initializer="zeros", name="theta")

    def phases(self) -> list[Phase]:
        return [Phase("fit", lambda: [self.theta], self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], float]:
        n = int(batch["x"].shape[0])
        return 0.5 * ops.mean(ops.sum(ops.square(batch["x"] - self.theta), axis=-1)), {}, float(n)

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return genloom.random.normal(keys, (2,)) + self.theta

    def distillation_loss(self, batch: dict[str, Any], teacher: Any, temperature: float) -> Any:
        return 0.5 * ops.sum(ops.square(self.theta - ops.stop_gradient(teacher.theta.value)))


def around(*mean: float, n: int = 64) -> ArraySplit:
    rng = np.random.default_rng(1)
    return ArraySplit((rng.standard_normal((n, 2)) + np.array(mean)).astype("float32"))


def fitted(model: Any, split: Any, steps: int = 300, rate: float = 0.05) -> np.ndarray:
    """Return θ after full-batch gradient descent."""
    model.compile(keras.optimizers.SGD(rate))
    batch = split.arrays()
    model.fit(((batch,) for _ in range(steps)), steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)
    return np.asarray(ops.convert_to_numpy(model.theta.value))


def test_the_fisher_information_is_the_mean_of_squares_not_the_square_of_the_mean() -> None:
    model, split = Gaussian(SPEC), around(0.5, -1.0)
    model.theta.assign([0.3, 0.1])
    (found,) = fisher(model, model.phases()[0], [split], samples=64)
    gradients = np.array([0.3, 0.1]) - split.arrays()["x"]
    assert found == pytest.approx((gradients**2).mean(0), rel=1e-5)
    assert np.abs(found - gradients.mean(0) ** 2).min() > 0.3


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> list[ArraySplit]:
    """What the runs before have been trained on, as remedies find it."""
    splits: list[ArraySplit] = []
    monkeypatch.setattr(remedies, "earlier", lambda start, remedy: tuple(splits))
    return splits


def test_anchors_end_where_the_closed_form_says(past: list[ArraySplit]) -> None:
    """The minimum of ½ E(x - θ)² + λ/2 F (θ - θ₀)² is (E x + λ F θ₀) / (1 + λ F)."""
    new, old = around(2.0, 2.0), around(-1.0, 0.0)
    start, mean = np.array([-1.0, 0.5], "float32"), new.arrays()["x"].mean(0)
    past.append(old)
    for remedy in (L2SP(L2SPOptions(strength=3.0)), EWC(EWCOptions(strength=3.0, samples=64))):
        model = Gaussian(SPEC)
        model.theta.assign(start)
        model.prepare("retain", remedy, Start(measured=True))
        importance = ((start - old.arrays()["x"]) ** 2).mean(0) if isinstance(remedy, EWC) else 1.0
        expected = (mean + 3.0 * importance * start) / (1.0 + 3.0 * importance)
        assert fitted(model, new) == pytest.approx(expected, abs=2e-3)


def test_distillation_pulls_towards_the_teacher() -> None:
    new, model = around(2.0, 2.0), Gaussian(SPEC)

    def teacher() -> Any:
        built = Gaussian(SPEC)
        built.theta.assign([-1.0, 0.5])
        return built

    model.prepare("retain", LwF(LwFOptions(strength=1.0)), Start(model=teacher))
    expected = (new.arrays()["x"].mean(0) + np.array([-1.0, 0.5])) / 2.0
    assert fitted(model, new) == pytest.approx(expected, abs=2e-3)
    assert model.preparations["retain"].teacher.theta.numpy() == pytest.approx([-1.0, 0.5])


def test_a_gem_takes_out_what_the_old_samples_speak_against(past: list[ArraySplit]) -> None:
    """One step: g - (g·r / r·r) r where g·r < 0, and g itself where they agree."""
    for old_mean in ((-2.0, 1.0), (1.0, 1.0)):
        new, old = around(2.0, 1.0), around(*old_mean)
        model = Gaussian(SPEC)
        past[:] = [old]
        model.prepare("retain", AGEM())
        theta = fitted(model, model.preparations["retain"].split(new), steps=1, rate=0.1)
        g, r = -new.arrays()["x"].mean(0), -old.arrays()["x"].mean(0)
        expected = g - min(g @ r, 0.0) / (r @ r) * r
        assert theta == pytest.approx(-0.1 * expected, abs=1e-5)
        assert -theta @ r >= -1e-6  # to first order the old loss does not rise


def test_replay_mixes_the_share_asked_for_and_every_old_data_set_alike() -> None:
    new, first, second = (ArraySplit(np.full((n, 2), value, "float32")) for n, value in ((80, 0), (30, 1), (500, 2)))
    mixed = Mixed(new, [first, second], 0.2)
    x = mixed.arrays()["x"][:, 0]
    assert len(mixed) == 100
    assert [int((x == value).sum()) for value in (0, 1, 2)] == [80, 10, 10]
    order = np.random.default_rng(0).permutation(100)
    assert np.array_equal(mixed.take(order)["x"], mixed.arrays()["x"][order])  # any rows in any order
    spread = Mixed(new, [ArraySplit(np.arange(1000, dtype="float32").reshape(500, 2))], 0.2)
    assert np.array_equal(spread.take(np.arange(80, 100))["x"][:, 0], np.arange(20) * 50.0)


def test_samples_that_do_not_go_together_are_refused() -> None:
    new = around(0.0, 0.0)
    with pytest.raises(DataError, match="do not go into one batch"):
        Mixed(new, [ArraySplit(np.zeros((4, 3)))], ReplayOptions().share)
    with pytest.raises(DataError, match="needs earlier training data"):
        Paired(new, [])
    with pytest.raises(NotFoundError, match=r"There is no remedy 'replya'\. Did you mean 'replay'"):
        chosen("remedy", "replya")
    with pytest.raises(ConfigError, match=r"'adapt/replay:share' must be at most 0\.999"):
        chosen("remedy", "replay:share=2")
