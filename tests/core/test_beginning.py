"""A training that starts from a run has its options, and what differs is said, kept, or refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom
from genloom.errors import ConfigError, RunError
from genloom.plugins.discovery import load_file
from genloom.runs import open_run
from genloom.runs.stretches import history

pytestmark = pytest.mark.any_engine

PLUGIN = """
import dataclasses
from keras import ops
import genloom
from genloom import Component, Preset


@dataclasses.dataclass(frozen=True)
class Options:
    width: int = genloom.option(2, "Columns.", minimum=1)
    unit: str = genloom.option("metre", "What one means.", choices=("metre", "foot"), fixed=True)
    rate: float = genloom.option(0.5, "Of sampling.")


class Point(genloom.GenerativeModel):
    Options = Options

    def __init__(self, spec, options=None, **values):
        super().__init__(spec, options, **values)
        self.theta = self.add_weight(shape=(self.options.width, 2), initializer="zeros", name="theta")

    def phases(self):
        return [genloom.Phase("fit", lambda: [self.theta], self.loss_of)]

    def loss_of(self, batch):
        return ops.mean(ops.square(batch["x"] - ops.mean(self.theta, axis=0))), {}, 1.0

    def draw(self, keys, condition):
        return ops.zeros((keys.shape[0], 2)) + ops.mean(self.theta, axis=0)


@genloom.hookimpl
def genloom_components():
    presets = {"wide": Preset({"width": 3, "rate": 0.1})}
    return [Component("model", f"begin/{name}", "beginner:Point", "A point.", options=Options, presets=presets)
            for name in ("point", "other")]
"""

X = np.linspace(0.0, 1.0, 32, dtype="float32").reshape(16, 2)
QUIET: dict[str, Any] = {"sample_every": 0, "progress": "none", "validation": 0.0, "batch_size": 4, "steps": 1}


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> None:
    if "beginner" not in sys.modules:
        file = tmp_path_factory.mktemp("beginner") / "beginner.py"
        file.write_text(PLUGIN)
        load_file(file)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wide") / "run"
    return genloom.train("begin/point", X, preset="wide", options={"unit": "foot"}, out=out, **QUIET).path


def begun(wide: Path, out: Path, model: str = "begin/point", **asked: Any) -> dict[str, Any]:
    return genloom.train(model, X, init_from=wide, out=out, **asked, **QUIET).config


def test_the_options_of_the_run_are_those_of_the_new_one(wide: Path, tmp_path: Path, capfd: Any) -> None:
    config = begun(wide, tmp_path / "a")
    assert config["model"]["options"] == {"width": 3, "unit": "foot", "rate": 0.1}
    assert "init_changed" not in config["training"] and history(config) is None
    assert "not trained with" not in capfd.readouterr().err


def test_another_model_with_these_options_takes_what_the_run_was_given(wide: Path, tmp_path: Path, capfd: Any) -> None:
    config = begun(wide, tmp_path / "a", "begin/other", options={"rate": 0.7})
    assert config["model"]["options"] == {"width": 3, "unit": "foot", "rate": 0.7}
    differ = "model begin/point → begin/other, rate 0.1 → 0.7"
    assert f"starts from '{wide}' with what it was not trained with: {differ}." in capfd.readouterr().err
    assert config["training"]["init_changed"] == differ.split(", ")
    assert history(config) == f"from {wide}: {differ}"


def test_what_differs_stays_in_the_history_of_a_run_that_goes_on(wide: Path, tmp_path: Path, capfd: Any) -> None:
    begun(wide, tmp_path / "a", options={"rate": 0.7})
    capfd.readouterr()
    genloom.train("begin/point", X, out=tmp_path / "a", resume=True, **{**QUIET, "steps": 2})
    assert "not trained with" not in capfd.readouterr().err
    assert open_run(tmp_path / "a").config["training"]["init_changed"] == ["rate 0.1 → 0.7"]


def test_an_option_that_fixes_what_weights_mean_is_kept(wide: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        begun(wide, tmp_path / "a", options={"unit": "metre"})
    assert str(refused.value) == (
        f"The weights of '{wide}' were trained with unit=foot; with unit=metre they mean something else. "
        "Give --set unit=foot, or leave out --init-from."
    )
    assert not (tmp_path / "a").exists()
    again = begun(wide, tmp_path / "b", preset="wide", options={"unit": "foot"})
    assert again["training"]["init_from"] == str(wide)


def test_weights_that_do_not_fit_name_the_options_that_would(wide: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError) as refused:
        begun(wide, tmp_path / "a", options={"width": 4})
    assert str(refused.value) == (
        f"The run '{wide}' does not fit. 'model/theta' has shape (3, 2) in the checkpoint, (4, 2) here. "
        "Give what it was trained with: --set width=3."
    )
