"""Remedies against forgetting: each does what its paper's equation says, and a run goes on with it exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, Phase
from genloom.adaptation import AGEM, EWC, L2SP, LwF, ancestors, old_data, parse_retention, rehearsed, retain
from genloom.adaptation.anchoring import fisher
from genloom.data import ArraySplit
from genloom.errors import ConfigError, DataError

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


def test_anchors_end_where_the_closed_form_says() -> None:
    """The minimum of ½ E(x - θ)² + λ/2 F (θ - θ₀)² is (E x + λ F θ₀) / (1 + λ F)."""
    new, old = around(2.0, 2.0), around(-1.0, 0.0)
    start, mean = np.array([-1.0, 0.5], "float32"), new.arrays()["x"].mean(0)
    for options in (L2SP(strength=3.0), EWC(strength=3.0, samples=64)):
        model = Gaussian(SPEC)
        model.theta.assign(start)
        retain(model, options, [old], lambda: Gaussian(SPEC))
        importance = ((start - old.arrays()["x"]) ** 2).mean(0) if isinstance(options, EWC) else 1.0
        expected = (mean + 3.0 * importance * start) / (1.0 + 3.0 * importance)
        assert fitted(model, new) == pytest.approx(expected, abs=2e-3)


def test_distillation_pulls_towards_the_teacher() -> None:
    new, model = around(2.0, 2.0), Gaussian(SPEC)

    def teacher() -> Any:
        built = Gaussian(SPEC)
        built.theta.assign([-1.0, 0.5])
        return built

    retain(model, LwF(strength=1.0), [], teacher)
    expected = (new.arrays()["x"].mean(0) + np.array([-1.0, 0.5])) / 2.0
    assert fitted(model, new) == pytest.approx(expected, abs=2e-3)
    assert model.teacher.theta.numpy() == pytest.approx([-1.0, 0.5])


def test_a_gem_takes_out_what_the_old_samples_speak_against() -> None:
    """One step: g - (g·r / r·r) r where g·r < 0, and g itself where they agree."""
    for old_mean in ((-2.0, 1.0), (1.0, 1.0)):
        new, old = around(2.0, 1.0), around(*old_mean)
        model = Gaussian(SPEC)
        retain(model, AGEM(), [], lambda: Gaussian(SPEC))
        theta = fitted(model, rehearsed(new, [old], "agem"), steps=1, rate=0.1)
        g, r = -new.arrays()["x"].mean(0), -old.arrays()["x"].mean(0)
        expected = g - min(g @ r, 0.0) / (r @ r) * r
        assert theta == pytest.approx(-0.1 * expected, abs=1e-5)
        assert -theta @ r >= -1e-6  # to first order the old loss does not rise


def test_replay_mixes_the_share_asked_for_and_every_old_data_set_alike() -> None:
    new, first, second = (ArraySplit(np.full((n, 2), value, "float32")) for n, value in ((80, 0), (30, 1), (500, 2)))
    mixed = rehearsed(new, [first, second], "replay:share=0.2")
    x = mixed.arrays()["x"][:, 0]
    assert len(mixed) == 100
    assert [int((x == value).sum()) for value in (0, 1, 2)] == [80, 10, 10]
    order = np.random.default_rng(0).permutation(100)
    assert np.array_equal(mixed.take(order)["x"], mixed.arrays()["x"][order])  # any rows in any order
    spread = rehearsed(new, [ArraySplit(np.arange(1000, dtype="float32").reshape(500, 2))], "replay:share=0.2")
    assert np.array_equal(spread.take(np.arange(80, 100))["x"][:, 0], np.arange(20) * 50.0)


def test_samples_that_do_not_go_together_are_refused() -> None:
    new = around(0.0, 0.0)
    with pytest.raises(DataError, match="do not go into one batch"):
        rehearsed(new, [ArraySplit(np.zeros((4, 3)))], "replay")
    with pytest.raises(DataError, match="needs earlier training data"):
        rehearsed(new, [], "agem")
    with pytest.raises(ConfigError, match="Did you mean 'replay'"):
        parse_retention("replya")
    with pytest.raises(ConfigError, match=r"'replay:share' must be at most 0\.999"):
        parse_retention("replay:share=2")


@pytest.fixture
def halves(tmp_path: Path) -> list[str]:
    """Addresses of the digits 0 to 4, and of 5 to 9 with dark for bright: what helps with the one harms the other."""
    digits = genloom.data.open("digits")
    addresses = []
    for half in (0, 5):
        file = tmp_path / f"from{half}.npz"
        parts = {}
        for name, split in (("train", digits.train), ("test", digits.test)):
            arrays = split.arrays()
            chosen = (arrays["label"] >= half) & (arrays["label"] < half + 5)
            x = arrays["x"][chosen]
            parts["x" if name == "train" else "x_test"] = x if half == 0 else x.max() + x.min() - x
        np.savez(file, **parts)
        addresses.append(f"npz:{file}")
    return addresses


SETTINGS: dict[str, Any] = {"sample_every": 0, "progress": "none", "validation": 0.0}


@pytest.mark.parametrize("retained", ["replay:share=0.3", "ewc:strength=0.5,samples=16", "agem"])
def test_a_run_that_remembers_goes_on_bitwise(retained: str, halves: list[str], tmp_path: Path) -> None:
    base = genloom.train("vae/mlp", halves[0], preset="tiny", steps=12, out=tmp_path / "base", **SETTINGS)
    assert [each.path for each in ancestors(base)] == [base.path]
    assert [data.address for data in old_data(base)] == [halves[0]]

    def weights(run: Any) -> Any:
        from genloom.runs import load_latest

        return load_latest(run)[0]

    asked = {"preset": "tiny", "init_from": base.path, "retain": retained, **SETTINGS}
    plan = genloom.train("vae/mlp", halves[1], steps=14, dry_run=True, **asked)
    rows = len(genloom.data.open(halves[1]).train) / (0.7 if "replay" in retained else 1.0)
    assert plan["steps_per_epoch"] == int(rows) // 64
    whole = genloom.train("vae/mlp", halves[1], steps=14, out=tmp_path / "whole", **asked)
    genloom.train("vae/mlp", halves[1], steps=7, out=tmp_path / "parts", **asked)
    again = genloom.train("vae/mlp", halves[1], steps=14, out=tmp_path / "parts", resume=True, **asked)
    first, second = weights(whole), weights(again)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    plain = genloom.train("vae/mlp", halves[1], steps=14, out=tmp_path / "plain", **{**asked, "retain": None})
    moved = [np.abs(first[name] - value).max() for name, value in weights(plain).items() if name.startswith("model/")]
    assert max(moved) > 1e-3
    assert genloom.sample(whole, 2).samples.shape[0] == 2  # the anchors of the training are not needed
    if retained.startswith("ewc"):
        assert any(name.startswith("model/anchors/") for name in first)
        assert "retention" in next(iter(whole.log()))["losses"]


def test_a_remedy_without_a_past_is_refused(halves: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Name a run: --init-from RUN"):
        genloom.train("vae/mlp", halves[1], retain="replay", out=tmp_path / "x")
    base = genloom.train("vae/mlp", halves[0], preset="tiny", steps=2, out=tmp_path / "base", **SETTINGS)
    with pytest.raises(ConfigError, match="has no distillation_loss"):
        genloom.train("vae/mlp", halves[1], preset="tiny", retain="lwf", init_from=base.path, out=tmp_path / "y")
    with pytest.raises(ConfigError, match="adapt freezes"):
        genloom.train(
            "vae/mlp", halves[1], preset="tiny", retain="ewc", adapt="lora", init_from=base.path, out=tmp_path / "z"
        )
    np.savez(tmp_path / "from0.npz", x=np.zeros((9, 8, 8, 1)), x_test=np.zeros((9, 8, 8, 1)))
    with pytest.raises(DataError, match="changed since"):
        genloom.train(
            "vae/mlp", halves[1], preset="tiny", retain="replay", init_from=base.path, out=tmp_path / "w", steps=2
        )
