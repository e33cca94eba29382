"""Preparations, data sets, metrics and post-processors that break a promise are named, with their plugin."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import genloom
from genloom import DataSpec, Samples
from genloom.cli.doctor import doctor
from genloom.data import ArraySplit, Subset
from genloom.errors import ConfigError, DataError, PluginError
from genloom.metrics.context import MetricContext
from genloom.metrics.measuring import measure
from genloom.plugins.discovery import load_file
from genloom.plugins.registry import find
from genloom.postprocess import chain

pytestmark = pytest.mark.any_engine

PLUGIN = """
import keras
from keras import ops
import genloom
from genloom.metrics import metric_component


class Point(genloom.GenerativeModel):
    def __init__(self, spec, options=None, **values):
        super().__init__(spec, options, **values)
        self.theta = self.add_weight(shape=(2,), initializer="zeros", name="theta")

    def phases(self):
        return [genloom.Phase("fit", lambda: [self.theta], self.loss_of)]

    def loss_of(self, batch):
        return ops.mean(ops.square(batch["x"] - self.theta)), {}, 1.0

    def draw(self, keys, condition):
        return ops.zeros((keys.shape[0], 2)) + self.theta


class Plain(genloom.Preparation):
    pass


Remedy, rows, score, change, choose = Plain, None, None, None, None
examined, called_back = [], []


@genloom.hookimpl
def genloom_doctor():
    return examined


@genloom.hookimpl
def genloom_callbacks(run):
    return called_back


@genloom.hookimpl
def genloom_components():
    return [
        genloom.Component("model", "shed/point", "shed:Point", "A point."),
        genloom.Component("remedy", "shed/remedy", "shed:Remedy", "A remedy."),
        genloom.Component("dataset", "shed/rows", "shed:rows", "Rows."),
        metric_component("shed/score", "shed:score", "A score.", lower_is_better=True),
        genloom.Component("postprocessor", "shed/change", "shed:change", "A change."),
        genloom.Component("postprocessor", "shed/choose", "shed:choose", "A choice.", whole=True),
    ]
"""

X = np.linspace(0.0, 1.0, 32, dtype="float32").reshape(16, 2)
SPEC = DataSpec((2,), kind="signal", value_range=(0.0, 1.0))
QUIET: dict[str, Any] = {"sample_every": 0, "progress": "none", "validation": 0.0, "batch_size": 4}


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> None:
    if "shed" not in sys.modules:
        file = tmp_path_factory.mktemp("shed") / "shed.py"
        file.write_text(PLUGIN)
        load_file(file)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> genloom.Run:
    return genloom.train("shed/point", X, steps=1, out=tmp_path_factory.mktemp("base") / "run", **QUIET)


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the plugin offer something else under a name."""
    return lambda name, found: monkeypatch.setattr(sys.modules["shed"], name, found)


def remedy(**methods: Any) -> type:
    kind = type("Remedy", (genloom.Preparation,), methods)
    kind.__module__ = "shed"
    return kind


def holding(self: Any, model: Any, start: Any) -> None:
    self.model = model


def hiding(self: Any, model: Any, start: Any) -> None:
    self._beside = [model]


REMEDIES: dict[str, tuple[Any, str]] = {
    "holds the model": (
        remedy(prepare=holding),
        "Remedy.prepare() kept the model as an attribute, so each would hold the other. "
        "Keep it as a function: self.model = lambda: model.",
    ),
    "hides the model": (remedy(prepare=hiding), "Remedy.prepare() kept the model as an attribute"),
    "no phases": (remedy(phases=lambda self, phases: None), "Remedy.phases() returned NoneType."),
    "not one phase": (remedy(phases=lambda self, phases: []), "Remedy.phases() returned []."),
    "no split": (remedy(split=lambda self, samples: None), "Remedy.split() returned NoneType."),
    "an array": (remedy(split=lambda self, samples: X), "Remedy.split() returned ndarray."),
    "no samples": (remedy(split=lambda self, samples: Subset(samples, [])), "Remedy.split() returned no samples."),
    "no options": (lambda: None, "does not take (options): too many positional arguments"),
    "no preparation": (lambda options: None, "makes a NoneType, no genloom.Preparation."),
}


@pytest.mark.parametrize(("made", "words"), REMEDIES.values(), ids=REMEDIES)
def test_a_preparation(made: Any, words: str, offers: Callable[..., None], base: genloom.Run, tmp_path: Any) -> None:
    offers("Remedy", made)
    with pytest.raises(PluginError) as broken:
        genloom.train("shed/point", X, steps=1, init_from=base.path, retain="remedy", out=tmp_path / "x", **QUIET)
    assert str(broken.value).startswith("Plugin 'shed' (")
    assert "shed/remedy" in str(broken.value) and words in str(broken.value)


def test_a_model_is_named_with_its_plugin(base: genloom.Run) -> None:
    short = type("Point", (sys.modules["shed"].Point,), {"draw": lambda self, keys, condition: keys[:, :1]})
    short.__module__ = "shed"
    with pytest.raises(PluginError, match=r"^Plugin 'shed' .*: shed/point: Point\.draw\(\) returned an array"):
        genloom.sample(short(SPEC), 4)


def missing(rest: str) -> Any:
    return open(f"{rest}.rows")


def empty(rest: str) -> genloom.data.Dataset:
    return genloom.data.Dataset("shed/rows", SPEC, ArraySplit(X[:0]), ArraySplit(X), "print")


DATA: dict[str, tuple[Any, type, str]] = {
    "no samples": (empty, DataError, r"holds no training samples\."),
    "nothing": (lambda rest: None, PluginError, "opened NoneType, which is not a genloom.data.Dataset"),
    "no rest": (lambda: None, PluginError, r"does not take \(rest, \*\*options\): too many positional arguments"),
    "no file": (missing, DataError, r"cannot be opened: No such file or directory \(birds\.rows\)\."),
}


@pytest.mark.parametrize(("opens", "error", "words"), DATA.values(), ids=DATA)
def test_a_data_set(opens: Any, error: type, words: str, offers: Callable[..., None]) -> None:
    offers("rows", opens)
    with pytest.raises(error, match=f"shed/rows.* {words}"):
        genloom.data.open("shed/rows:birds")


def test_a_metric(offers: Callable[..., None]) -> None:
    drawn = Samples(X, SPEC)
    for score, words in ((lambda drawn, context: None, "returned NoneType"), (lambda drawn: 0.0, "does not take")):
        offers("score", score)
        with pytest.raises(PluginError, match=f"^Plugin 'shed' .*: shed/score {words}"):
            measure(find("metric", "shed/score"), drawn, MetricContext(drawn, drawn, SPEC))


CHANGES: dict[str, tuple[str, Any, str]] = {
    "nothing": ("change", lambda x, spec, options: None, "returned NoneType. Return the samples, an array, and"),
    "no spec": ("change", lambda x, spec, options: x, "returned an array of shape (4, 2). Return the samples"),
    "no options": ("change", lambda x, spec: (x, spec), "does not take (samples, spec, options)"),
    "no samples": ("choose", lambda samples, options, origin: samples.samples, "returned an array of shape (4, 2)."),
    "no origin": ("choose", lambda samples, options: samples, "does not take (samples, options, origin)"),
}


@pytest.mark.parametrize(("name", "function", "words"), CHANGES.values(), ids=CHANGES)
def test_a_postprocessor(name: str, function: Any, words: str, offers: Callable[..., None]) -> None:
    offers(name, function)
    with pytest.raises(PluginError) as broken:
        chain([f"shed/{name}"])(Samples(X[:4], SPEC))
    assert str(broken.value).startswith("Plugin 'shed' (") and f"shed/{name} {words}" in str(broken.value)


@pytest.mark.parametrize("given", [5, [keras.callbacks.History(), "print"]])
def test_callbacks(given: Any, offers: Callable[..., None], tmp_path: Any) -> None:
    offers("called_back", given)
    with pytest.raises(PluginError, match=r"^Plugin 'shed' .*genloom_callbacks gave .*, which is not a keras"):
        genloom.train("shed/point", X, steps=1, out=tmp_path / "x", **QUIET)


@pytest.mark.parametrize("given", [5, [("shed", True)], [3]])
def test_examinations(given: Any, offers: Callable[..., None]) -> None:
    offers("examined", given)
    done = CliRunner().invoke(doctor, ["--json", "--no-devices"])
    (problem,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "shed"]
    assert problem["status"] == "problem" and "genloom_doctor gave no (name, well, text)" in problem["found"]


def test_an_error_in_a_layer_is_told_as_it_was_raised(offers: Callable[..., None]) -> None:
    """Keras wraps it, several times over, with colours and with tensors."""

    class Layer(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            raise ConfigError("40 channels cannot be cut into 3 heads.", mend="Give heads=4.")

    def build(self: Any, spec: DataSpec, options: Any = None, **values: Any) -> None:
        genloom.GenerativeModel.__init__(self, spec, options, **values)
        keras.Sequential([keras.Input((2,)), Layer()])

    offers("Point", type("Point", (sys.modules["shed"].Point,), {"__init__": build}))
    with pytest.raises(ConfigError) as raised:
        genloom.create("shed/point", SPEC)
    assert (raised.value.message, raised.value.mend) == ("40 channels cannot be cut into 3 heads.", "Give heads=4.")
