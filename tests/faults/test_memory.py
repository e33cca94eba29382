"""Loading and sampling again and again stays flat: what a call made is gone when its samples are."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import genloom
from genloom import backend
from genloom.runs import Run
from genloom.training import write_run

#: A call may leave names and counters behind; one graph of the smallest model has 30,000 objects, a model 2,000.
MOST_OBJECTS_A_CALL = 100


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    spec = genloom.data.open("digits").spec
    model = genloom.create("vae/mlp", spec, preset="tiny", compile=False)  # silu has a gradient of its own
    return write_run("vae/mlp", model, tmp_path_factory.mktemp("memory") / "run")


def living() -> Counter[str]:
    """Count what lives by the name of its class."""
    gc.collect()
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects())


def left(call: Callable[[], Any], calls: int) -> Counter[str]:
    """Return what some calls left behind; the first ones fill caches that are shared by all."""
    for _ in range(2):
        call()
    before = living()
    for _ in range(calls):
        call()
    return living() - before


@pytest.mark.filterwarnings("ignore:5 out of the last 5 calls")
@pytest.mark.parametrize("what", ["load", "sample"])
def test_nothing_stays_of_a_run_that_was_opened(
    what: str, run: Run, tries: Callable[[int, int], int], count: Callable[[str, int, str], None]
) -> None:
    n = tries(4, 100)
    calls = {"load": lambda: genloom.load(run), "sample": lambda: genloom.sample(str(run.path), 2)}
    found = left(calls[what], n)
    assert [name for name in found if name in (type(genloom.load(run)).__name__, "FuncGraph", "ConcreteFunction")] == []
    assert sum(found.values()) <= MOST_OBJECTS_A_CALL * n, found.most_common(8)
    count(f"{what} of a run, again and again", n, "no model and no graph stays")


def test_every_model_has_variables_of_the_same_names(run: Run) -> None:
    """TensorFlow keeps a kernel, 35 kB, for each name that a variable ever had; the other engines name none."""
    models = [genloom.load(run) for _ in range(2)]
    named = backend.name() == "tensorflow"
    names = [{variable.value.name for variable in model.variables} if named else set() for model in models]
    assert names == [{"model/weight:0"} if named else set()] * 2
