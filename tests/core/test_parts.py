"""A model that is made of another run's: looked at before anything is built, kept whole, and needed no more after."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom
from genloom.errors import ConfigError, DamagedRunError, RunError
from genloom.plugins.discovery import load_file
from genloom.report import write as write_report
from genloom.runs import Run, load_latest
from genloom.training import write_run

pytestmark = pytest.mark.any_engine

PLUGIN = """
import dataclasses
from keras import ops
import genloom
from genloom import Component


@dataclasses.dataclass(frozen=True)
class Options:
    codes: str = genloom.option("", "Run of the model that codes.", run=("encode", "decode"))
    rate: float = genloom.option(0.5, "Not used.")


class Mean(genloom.GenerativeModel):
    \"\"\"θ learns the mean of the data, and a code is how far a sample is from it.\"\"\"

    def __init__(self, spec, options=None, **values):
        super().__init__(spec, options, **values)
        self.theta = self.add_weight(shape=spec.shape, initializer="zeros", name="theta")

    def phases(self):
        return [genloom.Phase("fit", lambda: [self.theta], self.loss_of)]

    def loss_of(self, batch):
        return ops.mean(ops.square(batch["x"] - self.theta)), {}, 1.0

    def draw(self, keys, condition):
        return ops.zeros((keys.shape[0], *self.spec.shape)) + self.theta

    def encode(self, x):
        return x - self.theta

    def decode(self, z):
        return z + self.theta


class Mute(Mean):
    encode, decode = genloom.GenerativeModel.encode, genloom.GenerativeModel.decode


class Outer(genloom.GenerativeModel):
    \"\"\"θ learns the mean code.\"\"\"

    Options = Options

    def __init__(self, spec, options=None, *, codes, **values):
        super().__init__(spec, options, **values)
        self.codes = codes
        self.theta = self.add_weight(shape=spec.shape, initializer="zeros", name="theta")

    def phases(self):
        return [genloom.Phase("fit", lambda: [self.theta], self.loss_of)]

    def loss_of(self, batch):
        return ops.mean(ops.square(self.codes.encode(batch["x"]) - self.theta)), {}, 1.0

    def draw(self, keys, condition):
        return self.codes.decode(genloom.random.normal(keys, self.spec.shape) + self.theta)


@genloom.hookimpl
def genloom_components():
    return [
        Component("model", "made/mean", "made:Mean", "A mean."),
        Component("model", "made/mute", "made:Mute", "A mean without codes."),
        Component("model", "made/outer", "made:Outer", "Of another.", options=Options),
    ]
"""

X = np.linspace(0.0, 1.0, 32, dtype="float32").reshape(16, 2)
QUIET: dict[str, Any] = {"sample_every": 0, "progress": "none", "validation": 0.0, "batch_size": 4}


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> None:
    if "made" not in sys.modules:
        file = tmp_path_factory.mktemp("made") / "made.py"
        file.write_text(PLUGIN)
        load_file(file)


def inner(out: Path, model: str = "made/mean", x: Any = X, steps: int = 5) -> Path:
    return genloom.train(model, x, steps=steps, out=out, **QUIET).path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `mean` and the run `outer` that was made of it."""
    folder = tmp_path_factory.mktemp("trained")
    inner(folder / "mean")
    outer(folder / "mean", folder / "outer")
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "runs")


def outer(codes: Path | str, out: Path, steps: int = 5, **asked: Any) -> Run:
    return genloom.train("made/outer", X, options={"codes": str(codes)}, steps=steps, out=out, **asked, **QUIET)


def arrays(run: Run | Path) -> dict[str, Any]:
    return load_latest(Run(run) if isinstance(run, Path) else run)[0]


def drawn(run: Path) -> np.ndarray[Any, Any]:
    return genloom.sample(run, 4, seed=3).samples


def test_the_part_is_frozen_and_described(trained: Path) -> None:
    before, after = arrays(trained / "mean"), arrays(trained / "outer")
    np.testing.assert_array_equal(after["model/codes/theta"], before["model/theta"])
    assert not any("codes" in name for name in after if not name.startswith("model/"))  # no optimizer, no average
    state = max((trained / "mean" / "checkpoints").iterdir()) / "state.safetensors"
    stated = Run(trained / "outer").config["model"]["parts"]["codes"]
    digest = hashlib.sha256(state.read_bytes()).hexdigest()
    assert (stated["run"], stated["step"], stated["sha256"]) == (str(trained / "mean"), 5, digest)
    assert stated["model"]["id"] == "made/mean"


def test_samples_need_the_other_run_no_more(runs: Path) -> None:
    before = drawn(runs / "outer")
    shutil.rmtree(runs / "mean")
    np.testing.assert_array_equal(drawn(runs / "outer"), before)


@pytest.mark.parametrize("fate", ["changed", "deleted"])
def test_a_resume_does_not_look_at_the_other_run(fate: str, runs: Path, tmp_path: Path) -> None:
    whole = outer(runs / "mean", tmp_path / "whole", steps=9)
    codes = Run(runs / "outer").config["model"]["options"]["codes"]
    assert codes.endswith("mean")
    if fate == "deleted":
        shutil.rmtree(runs / "mean")
    else:
        genloom.train("made/mean", X, steps=50, out=runs / "mean", resume=True)
    begun = genloom.train("made/outer", X, steps=9, out=runs / "outer", resume=True)
    for name, array in arrays(whole).items():
        np.testing.assert_array_equal(array, arrays(begun)[name], err_msg=name)


def test_a_training_that_starts_from_the_run_has_its_part(runs: Path, tmp_path: Path) -> None:
    shutil.rmtree(runs / "mean")
    run = genloom.train("made/outer", X, steps=1, init_from=runs / "outer", out=tmp_path / "next", **QUIET)
    np.testing.assert_array_equal(arrays(run)["model/codes/theta"], arrays(runs / "outer")["model/codes/theta"])
    assert run.config["model"]["parts"] == Run(runs / "outer").config["model"]["parts"]


def test_a_training_that_starts_from_the_run_keeps_its_part(runs: Path, tmp_path: Path) -> None:
    other = inner(tmp_path / "other", steps=7)
    with pytest.raises(ConfigError, match=r"were trained with codes=.*mean; with codes=.*other they mean something"):
        outer(other, tmp_path / "next", init_from=runs / "outer")


def no_run(folder: Path) -> Path:
    return folder / "absent"


def mute(folder: Path) -> Path:
    return inner(folder / "mute", "made/mute")


def wide(folder: Path) -> Path:
    return inner(folder / "wide", x=np.zeros((16, 3), "float32") + np.arange(3, dtype="float32"))


def given(folder: Path) -> Path:
    model = sys.modules["made"].Mean(genloom.data.open(X).spec)
    return genloom.train(model, X, steps=1, out=folder / "given", **QUIET).path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: "", r"made/outer is made of the trained model of another run, and codes names none"),
        (no_run, r"is not a run: nothing is there"),
        (mute, r"is a run of made/mute, which has no encode and no decode"),
        (wide, r"was trained on data of shape \(3,\); these have \(2,\)"),
        (given, r"was trained on a model object, which its id does not build again"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_built(
    make: Callable[[Path], Path], words: str, tmp_path: Path
) -> None:
    named = make(tmp_path)
    with pytest.raises(ConfigError, match=words) as refused:
        outer(named, tmp_path / "out")
    assert refused.value.mend
    with pytest.raises(ConfigError, match=words):
        genloom.create("made/outer", genloom.data.open(X).spec, codes=str(named))
    assert not (tmp_path / "out").exists()


def test_a_damaged_checkpoint_of_the_other_run_is_named(runs: Path, tmp_path: Path) -> None:
    for state in (runs / "mean").rglob("state.safetensors"):
        state.write_bytes(state.read_bytes()[:-1] + b"\x01")
    with pytest.raises(RunError, match=r"mean' has no usable checkpoint.*its hash is not the one"):
        outer(runs / "mean", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_training_that_is_begun_again_takes_the_weights_that_it_began_with(runs: Path, tmp_path: Path) -> None:
    """Killed before its first checkpoint, it has none of its own."""
    whole = arrays(outer(runs / "mean", tmp_path / "whole"))
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints")
    (tmp_path / "killed" / "log.jsonl").unlink()
    again = genloom.train("made/outer", X, out=tmp_path / "killed", resume=True)
    np.testing.assert_array_equal(arrays(again)["model/theta"], whole["model/theta"])
    shutil.rmtree(tmp_path / "killed" / "checkpoints")
    (tmp_path / "killed" / "log.jsonl").unlink()
    genloom.train("made/mean", X, steps=8, out=runs / "mean", resume=True)
    with pytest.raises(ConfigError, match=r"is at step 8 and has other weights than at step 5"):
        genloom.train("made/outer", X, out=tmp_path / "killed", resume=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [("[model.parts.codes.model]", "[model.parts.codes.modell]"), ("step = 5\nsha256", 'step = "5"\nsha256')],
)
def test_a_part_that_describes_no_model_is_damage(old: str, new: str, runs: Path) -> None:
    file = runs / "outer" / "run.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(DamagedRunError, match=r"run\.toml' cannot be read: .*model"):
        genloom.load(runs / "outer")


def test_a_part_that_was_edited_is_refused(runs: Path) -> None:
    file = runs / "outer" / "run.toml"
    file.write_text(file.read_text().replace('id = "made/mean"', 'id = "made/mute"', 1))
    with pytest.raises(DamagedRunError, match=r"says model\.parts\.codes\.model\.id"):
        genloom.load(runs / "outer")


def test_it_is_said_in_a_dry_run_and_in_the_report(trained: Path, tmp_path: Path) -> None:
    plan = outer(trained / "mean", tmp_path / "out", dry_run=True)
    assert plan["parts"]["codes"]["model"] == "made/mean" and plan["parts"]["codes"]["step"] == 5
    assert json.dumps(plan["parts"])
    page = write_report(trained / "outer", tmp_path / "page.html").read_text()
    assert f"made/mean of {trained / 'mean'}, step 5" in page.replace("&#39;", "'")


def test_a_model_stands_in_the_place_of_a_run(trained: Path) -> None:
    spec = genloom.data.open(X).spec
    model = genloom.create("made/outer", spec, networks={"codes": genloom.load(trained / "mean")})
    by_run = genloom.create("made/outer", spec, codes=str(trained / "mean"))
    one, other = (genloom.sample(each, 3, seed=1).samples for each in (model, by_run))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ConfigError, match=r"made/outer is made of other runs' models"):
        write_run("made/outer", model, trained / "written")
