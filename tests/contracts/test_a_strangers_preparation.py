"""A preparation that nobody foresaw, as a third party would write it: no line of the core knows this remedy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom
from genloom.errors import ConfigError, NotFoundError, PluginError
from genloom.plugins.discovery import load_file
from genloom.runs import load_latest

PLUGIN = '''
import dataclasses

import keras
from keras import ops

import genloom
from genloom.data import Subset


@dataclasses.dataclass(frozen=True)
class GentleOptions:
    share: float = genloom.option(0.5, "what gradients are multiplied by", minimum=0.0)


class Gentle(genloom.Preparation):
    """Every second sample, a share of each gradient, and a loss that says how far the weights have come."""

    def __init__(self, options=None):
        super().__init__(options)
        self.begun = self.add_weight(shape=(2,), trainable=False, initializer="zeros", name="begun")

    def prepare(self, model, start):
        self.begun.assign(model.theta.value + 0.0)

    def split(self, samples):
        return Subset(samples, range(0, len(samples), 2))

    def phases(self, phases):
        return [dataclasses.replace(phase, loss=self.told(phase), metrics=("come",), change=self.less)
                for phase in phases]

    def told(self, phase):
        def loss(batch):
            mean, metrics, weight = phase.loss(batch)
            (theta,) = phase.resolve()
            return mean, {**metrics, "come": ops.sum(ops.abs(theta - self.begun))}, weight

        return loss

    def less(self, gradients, along):
        return [self.options.share * gradient for gradient in gradients]


class Pull(genloom.Preparation):
    """A teacher whose weights pull, kept as the documents say: as a function."""

    def prepare(self, model, start):
        teacher = start.model()
        self.teacher = lambda: teacher

    def phases(self, phases):
        return [dataclasses.replace(phase, loss=self.pulled(phase)) for phase in phases]

    def pulled(self, phase):
        def loss(batch):
            mean, metrics, weight = phase.loss(batch)
            (theta,) = phase.resolve()
            return mean + ops.sum(theta * ops.convert_to_tensor(self.teacher().theta)), metrics, weight

        return loss


class Point(genloom.GenerativeModel):
    """The loss is the mean of x·θ: its gradient is the mean of x, whatever θ is."""

    def __init__(self, spec, options=None, **values):
        super().__init__(spec, options, **values)
        self.theta = self.add_weight(shape=(2,), initializer="zeros", name="theta")

    def phases(self):
        return [genloom.Phase("fit", lambda: [self.theta], self.loss_of)]

    def loss_of(self, batch):
        return ops.mean(ops.sum(batch["x"] * self.theta, axis=-1)), {}, 1.0

    def default_optimizers(self):
        return keras.optimizers.SGD(0.1)

    def draw(self, keys, condition):
        return genloom.random.normal(keys, (2,)) + self.theta


@genloom.hookimpl
def genloom_components():
    return [
        genloom.Component("model", "stranger/point", "gentle:Point", "A point."),
        genloom.Component("remedy", "stranger/gentle", "gentle:Gentle", "Gently.", options=GentleOptions),
        genloom.Component("remedy", "stranger/pull", "gentle:Pull", "A teacher."),
        genloom.Component("adapter", "stranger/wrong", "gentle:GentleOptions", "No preparation."),
    ]
'''

QUIET = {"sample_every": 0, "progress": "none", "validation": 0.0, "batch_size": 4, "schedule": "constant"}


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> None:
    if "gentle" not in sys.modules:
        file = tmp_path_factory.mktemp("stranger") / "gentle.py"
        file.write_text(PLUGIN)
        load_file(file)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Samples (1, 3) where a remedy looks, and (9, 9) beside them."""
    x = np.full((16, 2), 9.0, "float32")
    x[0::2] = (1.0, 3.0)
    file = tmp_path_factory.mktemp("data") / "x.npz"
    np.savez(file, x=x, x_test=x)
    return f"npz:{file}?value_range=0,10"


@pytest.fixture(scope="module")
def base(address: str, tmp_path_factory: pytest.TempPathFactory) -> genloom.Run:
    return genloom.train("stranger/point", address, steps=4, out=tmp_path_factory.mktemp("base") / "run", **QUIET)


def arrays(run: genloom.Run) -> dict[str, Any]:
    return load_latest(run)[0]


def test_samples_gradients_losses_and_saved_state_go_through_the_one_seam(
    base: genloom.Run, address: str, tmp_path: Path
) -> None:
    begun = arrays(base)["model/theta"]
    mean = np.array([1.0, 3.0])
    run = genloom.train(
        "stranger/point", address, steps=2, init_from=base.path, retain="gentle:share=0.25", out=tmp_path / "x", **QUIET
    )
    found = arrays(run)
    assert found["model/preparations/retain/begun"] == pytest.approx(begun)
    assert found["model/theta"] == pytest.approx(begun - 2 * 0.1 * 0.25 * mean, rel=1e-5)
    entry = next(iter(run.log()))
    # The mean over the steps of how far θ had come before each.
    assert entry["losses"]["come"] == pytest.approx(0.1 * 0.25 * mean.sum() / 2, rel=1e-4)
    assert genloom.load(run).preparations == {}  # nothing of it is needed after the training


@pytest.mark.parametrize("remedy", ["stranger/gentle", "stranger/pull"])
def test_a_run_goes_on_with_it_to_the_bit(remedy: str, base: genloom.Run, address: str, tmp_path: Path) -> None:
    asked = {"init_from": base.path, "retain": remedy, **QUIET}
    whole = arrays(genloom.train("stranger/point", address, steps=6, out=tmp_path / "whole", **asked))
    genloom.train("stranger/point", address, steps=3, out=tmp_path / "parts", **asked)
    parts = arrays(genloom.train("stranger/point", address, steps=6, out=tmp_path / "parts", resume=True))
    assert [name for name in whole if not np.array_equal(whole[name], parts[name])] == []


def test_mistakes_are_named_before_anything_is_trained(base: genloom.Run, address: str, tmp_path: Path) -> None:
    def asked(**settings: Any) -> None:
        genloom.train("stranger/point", address, steps=2, init_from=base.path, out=tmp_path / "x", **settings, **QUIET)

    with pytest.raises(
        PluginError, match=r"Plugin 'gentle' .*stranger/wrong makes a GentleOptions, no genloom\.Preparation"
    ):
        asked(adapt="wrong")
    with pytest.raises(NotFoundError, match=r"no remedy 'gentel'\. Did you mean 'gentle'"):
        asked(retain="gentel")
    with pytest.raises(ConfigError, match="Unknown option 'stranger/gentle:shre'"):
        asked(retain="gentle:shre=1")
    assert not (tmp_path / "x").exists()


def test_a_slot_holds_one_preparation(base: genloom.Run) -> None:
    gentle = sys.modules["gentle"]
    model = genloom.load(base)
    model.prepare("mine", gentle.Gentle(gentle.GentleOptions()))
    with pytest.raises(ConfigError, match="prepared already: mine"):
        model.prepare("mine", gentle.Gentle(gentle.GentleOptions()))
