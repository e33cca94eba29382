"""What the public functions refuse: each names the value received, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, GenerativeModel, Phase, data
from genloom.errors import ConfigError
from genloom_adapt import adapt, update

pytestmark = pytest.mark.any_engine

SPEC = DataSpec((2,), kind="signal", classes=3, condition=("label",))
X = np.linspace(0.0, 1.0, 80, dtype="float32").reshape(40, 2)
LABELS = np.arange(40) % 3


class Point(GenerativeModel):
    """One point, whatever is asked for."""

    def __init__(self, spec: DataSpec = SPEC, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.p = self.add_weight(shape=(2,), initializer="zeros", name="p")

    def phases(self) -> list[Phase]:
        return [Phase("fit", [self.p], lambda batch: (ops.mean(ops.square(batch["x"] - self.p)), {}, 1.0))]

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return ops.zeros((keys.shape[0], 1)) + self.p


@pytest.fixture(scope="module")
def model() -> Point:
    return Point()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> genloom.Run:
    return genloom.train(Point(), (X, LABELS), steps=1, out=tmp_path_factory.mktemp("runs") / "run")


WHOLE = [
    *((value, f"^n must be a whole number, got {value!r}") for value in (2.5, 4.0, True, "4", None)),
    (0, "^n must be at least 1, got 0"),
    (10**9, "^n must be at most 100000000, got 1000000000"),
]


@pytest.mark.parametrize(("n", "words"), WHOLE)
def test_samples_are_counted_in_whole_numbers(n: Any, words: str, model: Point, run: genloom.Run) -> None:
    with pytest.raises(ConfigError, match=words):
        genloom.sample(model, n)
    if n is not None:  # as many as are held out
        with pytest.raises(ConfigError, match=words):
            genloom.evaluate(run, ["precision"], n, dataset=(X, LABELS))


def test_numpys_whole_numbers_are_whole_numbers(model: Point) -> None:
    drawn = genloom.sample(model, np.int64(3), np.int32(7), offset=np.uint8(1), chunk=np.int64(2))
    assert drawn.seeds.tolist() == [[7, 1], [7, 2], [7, 3]]


SEEDS = [
    *((value, f"must be a whole number, got {value!r}") for value in (1.5, True, "a", None)),
    (-1, "must be at least 0, got -1"),
    (2**63, "must be at most 9223372036854775807, got 9223372036854775808"),
]
SEEDED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "sample": lambda seed, model, run: genloom.sample(model, 1, seed),
    "create": lambda seed, model, run: genloom.create("vae/mlp", SPEC, seed=seed),
    "train": lambda seed, model, run: genloom.train(model, X, steps=1, seed=seed),
    "seeds": lambda seed, model, run: genloom.train("vae/mlp", X, steps=1, seeds=[0, seed]),
    "evaluate": lambda seed, model, run: genloom.evaluate(run, seed=seed),
    "update": lambda seed, model, run: update(run, X, seed=seed),
}


@pytest.mark.parametrize("call", SEEDED.values(), ids=SEEDED)
@pytest.mark.parametrize(("seed", "words"), SEEDS)
def test_one_rule_for_every_seed(seed: Any, words: str, call: Any, model: Point, run: genloom.Run) -> None:
    with pytest.raises(ConfigError, match=f"^seed {words}"):
        call(seed, model, run)


def test_a_run_from_before_with_a_seed_below_0_is_still_built() -> None:
    assert Point(seed=-1).seed == -1


NO_RUN = "A run must be a path, got "
CALLS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "condition 3": (lambda m, run: genloom.sample(m, 4, condition=3), "condition must be a dict by name"),
    "condition list": (lambda m, run: genloom.sample(m, 2, condition=[1, 2]), r"such as {'label': 3}, got \[1, 2\]"),
    "condition of 3": (lambda m, run: genloom.sample(m, 2, condition={3: 1}), "Point takes no condition 3. Cond"),
    "labels of two lengths": (
        lambda m, run: genloom.sample(m, 2, condition={"label": [[1], [2, 3]]}),
        r"whole number from 0 to 2, got \[\[1\], \[2, 3\]\]",
    ),
    "label too high": (lambda m, run: genloom.sample(m, 2, condition={"label": 3}), "There is no class 3"),
    "weights": (lambda m, run: genloom.sample(m, 2, weights=3), "weights must be 'ema' or 'trained', got 3"),
    "post": (lambda m, run: genloom.sample(m, 2, post="clip"), r"post must be a list of .*\['clip'\], got 'clip'"),
    "sample nothing": (lambda m, run: genloom.sample(None, 2), "must be a model, a run, or a run's path, got None"),
    "create of an array": (lambda m, run: genloom.create("vae/mlp", X), "spec must be a DataSpec, got a value of typ"),
    "create of a data set": (
        lambda m, run: genloom.create("vae/mlp", data.open(X)),
        r"a value of type Dataset\. A data set has one: genloom\.data\.open\(data\)\.spec",
    ),
    "create a class": (lambda m, run: genloom.create(Point, SPEC), "The id of a model must be a text, got <class"),
    "a preset of 3": (lambda m, run: genloom.create("vae/mlp", SPEC, preset=3), "vae/mlp has no preset 3"),
    "networks of 3": (lambda m, run: genloom.create("vae/mlp", SPEC, networks=3), "networks must be a dict of netwo"),
    "model of an array": (lambda m, run: Point(X), "spec must be a DataSpec, got a value of type ndarray"),
    "load nothing": (lambda m, run: genloom.load(None), NO_RUN + "None. Give the folder"),
    "load a model": (lambda m, run: genloom.load(m), NO_RUN + "<Point"),
    "load into 3": (lambda m, run: genloom.load(run, model=3), "model must be a GenerativeModel, got 3"),
    "train on nothing": (lambda m, run: genloom.train("vae/mlp"), "No data are given. Name some: data='digits'"),
    "train on batches": (
        lambda m, run: genloom.train("vae/mlp", iter([{"x": X}])),
        "list_iterator is not a whole data set: .* Give the data set or its arrays",
    ),
    "train on a part": (
        lambda m, run: genloom.train("vae/mlp", data.open(X).train),
        "Split is not a whole data set: .* Give the data set or its arrays",
    ),
    "load a data set": (
        lambda m, run: data.Loader(data.open(X), 8, 0),
        r"split must be one split of a data set, got a value of type Dataset\. Give dataset\.train",
    ),
    "batches of a text": (lambda m, run: data.Loader(data.open(X).train, "8", 0), "batch_size must be a whole number"),
    "no seed": (lambda m, run: data.Loader(data.open(X).train, 8, None), "seed must be a whole number, got None"),
    "a shard of 3": (
        lambda m, run: data.Loader(data.open(X).train, 8, 0, shard=3),
        r"shard must be a pair \(index, count\), got 3",
    ),
    "an option that is no number": (lambda m, run: genloom.sample(m, 2, hot=float("nan")), "must be a number, got nan"),
    "train nothing": (lambda m, run: genloom.train(None, X), "a model's id, such as 'vae/conv', or a GenerativeMod"),
    "train a class": (lambda m, run: genloom.train(Point, X), "or a GenerativeModel, got <class"),
    "seeds of 3": (lambda m, run: genloom.train("vae/mlp", X, seeds=3), "seeds must be a list of whole numbers, such"),
    "seeds of a text": (lambda m, run: genloom.train("vae/mlp", X, seeds="12"), r"such as \[1, 2\], got '12'"),
    "options of 3": (lambda m, run: genloom.train("vae/mlp", X, options=3), "options must be a dict of the model's"),
    "out of 3": (lambda m, run: genloom.train(m, (X, LABELS), steps=1, out=3), NO_RUN + "3"),
    "start from 3": (lambda m, run: genloom.train(m, X, steps=1, init_from=3), NO_RUN + "3"),
    "callbacks of 3": (lambda m, run: genloom.train(m, X, callbacks=[3]), "a list of Keras callbacks; it holds 3"),
    "one callback": (
        lambda m, run: genloom.train(m, X, callbacks=keras.callbacks.Callback()),
        "callbacks must be a list of Keras callbacks, got ",
    ),
    "evaluate a model": (lambda m, run: genloom.evaluate(m), NO_RUN + "<Point"),
    "one metric": (lambda m, run: genloom.evaluate(run, "precision"), "metrics must be a list of names, such as"),
    "metric 3": (lambda m, run: genloom.evaluate(run, [3]), "it holds 3"),
    "post 3": (lambda m, run: genloom.evaluate(run, post=3), "post must be a list of post-processors"),
    "sampler": (lambda m, run: genloom.evaluate(run, sampler=3), r"sampler must be a function of \(n, seed\), got 3"),
    "compare one": (lambda m, run: genloom.compare(str(run.path)), "runs must be a list of runs or their paths, got"),
    "compare 3": (lambda m, run: genloom.compare([3]), NO_RUN + "3"),
    "update nothing": (lambda m, run: update(None, X), NO_RUN + "None"),
    "tolerance": (lambda m, run: update(run, X, tolerance="a"), "tolerance must be a number, got 'a'"),
    "gate": (lambda m, run: update(run, X, gate=3), "gate must be a text, got 3"),
    "save to 3": (lambda m, run: genloom.sample(m, 1).save(3), "out must be a path, got 3"),
    "adapt to a text": (lambda m, run: adapt(m, "lora"), r"options of adapters, got 'lora'\. Make some: LoRAOptions"),
    "optimizer by no name": (lambda m, run: m.compile("adamm"), "'adamm' is no optimizer of Keras"),
    "optimizer 3": (lambda m, run: m.compile({"fit": 3}), "3 is no optimizer of Keras"),
    "average": (lambda m, run: m.compile(ema="x"), "ema must be a decay between 0 and 1, got 'x'"),
    "parts": (lambda m, run: m.compile(accumulate=1.5), "accumulate must be a whole number, got 1.5"),
    "order of phases": (lambda m, run: m.compile(update=3), r"'simultaneous'\), got 3"),
    "a shape of 8": (lambda m, run: DataSpec(8), r"positive sides, such as \(28, 28, 1\), got 8"),
    "a broken side": (lambda m, run: DataSpec((8.5, 8)), r"got \(8\.5, 8\)"),
    "a range of 3": (lambda m, run: DataSpec((8,), value_range=3), r"value_range must be \(lowest, highest\), got 3"),
    "a range of words": (lambda m, run: DataSpec((8,), value_range=("a", "b")), r"got \('a', 'b'\)"),
    "broken classes": (lambda m, run: DataSpec((8,), classes=2.5), "classes must be a whole number, got 2.5"),
}


@pytest.mark.parametrize(("call", "words"), CALLS.values(), ids=CALLS)
def test_what_does_not_fit_is_refused_with_its_value(
    call: Any, words: str, model: Point, run: genloom.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        call(model, run)
    assert not list(tmp_path.iterdir())
