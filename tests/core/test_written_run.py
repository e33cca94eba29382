"""A run of weights that come from elsewhere: it is used like a trained one, and says what it does not have."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import ops

import genloom
from genloom.cli.flags import asked_backend
from genloom.data import ArraySplit
from genloom.errors import ConfigError, RunError
from genloom.model.naming import variable_names
from genloom.plugins.discovery import load_file
from genloom.training import write_run

pytestmark = pytest.mark.any_engine


@pytest.fixture(scope="module")
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).with_name("training_models.py"))
    return sys.modules["training_models"]


@pytest.fixture
def model(models: Any) -> Any:
    """A model whose every weight differs from that of its seed."""
    made = genloom.create("tests/vae", models.SPEC, seed=3, latent=3, compile=False)
    for number, variable in enumerate(made.trainable_variables):
        variable.assign(variable + 0.1 * (number + 1))
    return made


def weights(model: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(ops.convert_to_numpy(v.value)) for name, v in variable_names(model).items()}


def test_a_written_run_is_loaded_listed_sampled_and_started_from(models: Any, model: Any, tmp_path: Path) -> None:
    run = write_run("tests/vae", model, tmp_path / "run", files={"words.txt": b"kept"})
    assert run.status == "finished" and (run.path / "words.txt").read_bytes() == b"kept"
    loaded = genloom.load(run.path)
    assert loaded.options.latent == 3 and loaded.spec == models.SPEC
    expected = weights(model)
    assert {name: np.array_equal(w, expected[name]) for name, w in weights(loaded).items()} == dict.fromkeys(
        expected, True
    )
    assert genloom.runs.list_runs(tmp_path)[0]["id"] == "tests/vae"
    drawn = [genloom.sample(source, 4, seed=1).samples for source in (run, model)]
    assert np.array_equal(*drawn)
    settings = {"options": {"latent": 3}, "steps": 0, "batch_size": 20, "sample_every": 0, "progress": "none"}
    onward = genloom.train("tests/vae", models.points(), init_from=run.path, out=tmp_path / "onward", **settings)
    assert all(np.array_equal(w, expected[name]) for name, w in weights(genloom.load(onward)).items() if name != "step")
    page = genloom.report.write(run).read_text("utf-8")
    assert "tests/vae" in page and "genloom train" not in page  # no training would make it again


def test_what_needs_the_data_of_a_written_run_says_that_it_names_none(models: Any, model: Any, tmp_path: Path) -> None:
    run = write_run("tests/vae", model, tmp_path / "run")
    for needs_data in (
        lambda: genloom.evaluate(run, n=4),
        lambda: genloom.train("tests/vae", models.points(), out=run.path, resume=True),
    ):
        with pytest.raises(ConfigError, match=r"has no data.*--init-from"):
            needs_data()
    points = models.points()
    held_out = points.test.arrays()
    dataset = dataclasses.replace(points, test=ArraySplit(1 - held_out["x"], held_out["label"]))
    measured = genloom.evaluate(run, n=20, dataset=dataset)
    assert {"test_loss"} <= {entry["name"] for entry in measured["results"]}


def test_a_wrong_model_or_a_weight_that_is_not_finite_leaves_nothing(models: Any, model: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tests/gan builds no VAE"):
        write_run("tests/gan", model, tmp_path / "run")
    weight = model.trainable_variables[0]
    weight.assign(np.full(weight.shape, np.nan, "float32"))
    with pytest.raises(RunError, match="not finite"):
        write_run("tests/vae", model, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_engine_that_raw_arguments_ask_for() -> None:
    assert asked_backend(["run", "--backend", "torch"]) == asked_backend(["--backend=torch", "run"]) == "torch"
    assert asked_backend(["run"]) is None and asked_backend(["--backend"]) is None and asked_backend([]) is None


@pytest.mark.parametrize("path", ["m.keras", "m.h5", "folder"])
def test_keras_own_format_is_refused_and_the_run_named(model: Any, tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        model.save(tmp_path / path)
    assert "genloom.training.write_run" in str(caught.value) and "genloom.load" in str(caught.value)
    assert not (tmp_path / path).exists()


def test_a_family_without_options_is_written_and_loaded(tmp_path: Path) -> None:
    name = "optionless_family"
    (tmp_path / f"{name}.py").write_text(OPTIONLESS)
    load_file(tmp_path / f"{name}.py")
    model = genloom.create("tests/optionless", genloom.DataSpec((2,), kind="signal", value_range=None))
    model.b.assign([3.0, 5.0])
    loaded = genloom.load(write_run("tests/optionless", model, tmp_path / "run"))
    assert ops.convert_to_numpy(loaded.b.value).tolist() == [3.0, 5.0]


OPTIONLESS = """
from keras import ops
from genloom import Component, GenerativeModel, Phase, hookimpl

class Optionless(GenerativeModel):
    def __init__(self, spec, options=None, *, seed=0, noise="native"):
        super().__init__(spec, options, seed=seed, noise=noise)
        self.b = self.add_weight(shape=spec.shape, initializer="zeros", name="b")

    def phases(self):
        return [Phase("fit", lambda: [self.b], lambda batch: (ops.mean((batch["x"] - self.b) ** 2), {}, 1.0))]

    def draw(self, keys, condition):
        return ops.zeros((keys.shape[0], 1)) + self.b

@hookimpl
def genloom_components():
    return [Component("model", "tests/optionless", "optionless_family:Optionless", "A point.", accepts=("signal",))]
"""
