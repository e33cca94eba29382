"""A model that breaks a promise is told which one, by the shapes and names of what it gives, before it is trained."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, GenerativeModel, Phase
from genloom.data import ArraySplit
from genloom.errors import PluginError
from genloom.evaluation.heldout import losses
from genloom.model.promises import check_constructor, check_methods
from genloom.plugins.discovery import load_file

SPEC = DataSpec((2,), kind="signal")
X = np.linspace(0.0, 1.0, 16, dtype="float32").reshape(8, 2)


class Point(GenerativeModel):
    """One point, the mean of the data."""

    validation = ("loss",)

    def __init__(self, spec: DataSpec = SPEC, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.p = self.add_weight(shape=spec.shape, initializer="zeros", name="p")

    def phases(self) -> list[Phase]:
        return [Phase("fit", [self.p], self.error)]

    def errors(self, batch: dict[str, Any]) -> Any:
        return ops.mean(ops.square(batch["x"] - self.p), axis=-1)

    def error(self, batch: dict[str, Any]) -> Any:
        return ops.mean(self.errors(batch)), {}, 1.0

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"loss": self.errors(batch)}

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return ops.zeros((keys.shape[0], 1)) + self.p


def changed(**members: Any) -> Point:
    """Return a model that differs from a sound one in some members, ready to be trained."""
    model = type("Point", (Point,), members)()
    model.compile(keras.optimizers.SGD(0.1))
    return model


LOSSES = {
    "one per sample": (
        lambda self, batch: (self.errors(batch), {}, 1.0),
        "The loss of phase 'fit' gives its mean as an array of shape (8,), not as one number.",
    ),
    "nothing beside the mean": (
        lambda self, batch: ops.mean(self.errors(batch)),
        "The loss of phase 'fit' returns one number. Return (mean, dict of metrics, weight).",
    ),
    "nothing": (lambda self, batch: None, "The loss of phase 'fit' returns NoneType."),
    "undeclared metric": (
        lambda self, batch: (ops.mean(self.errors(batch)), {"size": self.p[0]}, 1.0),
        "The loss of phase 'fit' reports the metrics ['size'], declared are []. Make the two agree on 'size'",
    ),
    "weight per sample": (
        lambda self, batch: (ops.mean(self.errors(batch)), {}, ops.ones((8,))),
        "The loss of phase 'fit' gives its weight as an array of shape (8,), not as one number.",
    ),
    "no weight": (
        lambda self, batch: (ops.mean(self.errors(batch)), {}, None),
        "The loss of phase 'fit' gives its weight as NoneType, not as one number.",
    ),
}


@pytest.mark.parametrize(("error", "words"), LOSSES.values(), ids=LOSSES)
def test_a_loss_that_is_no_loss_names_its_phase(error: Any, words: str) -> None:
    model = changed(error=error)
    with pytest.raises(PluginError) as broken:
        model.fit({"x": X}, batch_size=8, verbose=0)
    assert str(broken.value).startswith(words)
    assert broken.value.exit_code == 3


HELD_OUT = {
    "one for all": (
        {"validate": lambda self, batch: {"loss": ops.mean(self.errors(batch))}},
        "Point holds out loss as one number for 8 samples.",
    ),
    "another name": (
        {"validate": lambda self, batch: {"losses": self.errors(batch)}},
        "Point.validate() returned ['losses'], declared are ['loss'].",
    ),
    "no name": (
        {"validate": lambda self, batch: self.errors(batch)},
        "Point.validate() returned an array of shape (8,), declared are ['loss'].",
    ),
    "a weight for all": (
        {"validation_weights": lambda self, batch: ops.ones(())},
        "Point holds out validation_weights() as one number for 8 samples.",
    ),
}


@pytest.mark.parametrize(("members", "words"), HELD_OUT.values(), ids=HELD_OUT)
def test_held_out_values_are_declared_and_one_per_sample(members: dict[str, Any], words: str) -> None:
    model = changed(**members)
    with pytest.raises(PluginError) as in_training:
        model.evaluate({"x": X}, batch_size=8, verbose=0)
    with pytest.raises(PluginError) as measured:
        losses(model, ArraySplit(X), 8)
    assert str(in_training.value).startswith(words)
    assert str(measured.value).startswith(words)


DRAWS = {
    "another shape": (lambda self, keys, condition: ops.zeros((keys.shape[0], 3)), "an array of shape (4, 3)"),
    "too few": (lambda self, keys, condition: ops.zeros((keys.shape[0] - 1, 2)), "an array of shape (3, 2)"),
    "nothing": (lambda self, keys, condition: None, "NoneType"),
}


@pytest.mark.parametrize(("draw", "words"), DRAWS.values(), ids=DRAWS)
def test_draws_of_another_shape_are_the_models_fault(draw: Any, words: str) -> None:
    with pytest.raises(PluginError) as broken:
        genloom.sample(changed(draw=draw), 4)
    assert str(broken.value) == f"Point.draw() returned {words}: 4 keys and its data make the shape (4, 2)."


def test_a_run_ends_where_its_samples_are_no_samples(tmp_path: Any) -> None:
    """What a picture shows may be missing; what can never be drawn may not."""
    flat = {"validation": (), "draw": lambda self, keys, condition: ops.zeros((keys.shape[0], 2, 4, 1))}
    model = type("Point", (Point,), flat)(DataSpec((4, 4, 1)))
    with pytest.raises(PluginError, match=r"Point\.draw\(\) returned an array of shape \(8, 2, 4, 1\)"):
        genloom.train(model, np.zeros((40, 4, 4, 1), "float32"), steps=1, sample_count=8, out=tmp_path / "run")


@pytest.mark.parametrize("name", ["draw", "phases"])
def test_a_model_that_leaves_out_a_method_is_refused_before_anything_is_written(name: str, tmp_path: Any) -> None:
    model = type("Point", (Point,), {name: getattr(GenerativeModel, name)})()
    with pytest.raises(PluginError, match=rf"Point has no {name}\(\)\. A model implements phases\(\)"):
        genloom.train(model, X, epochs=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


PHASES = {
    "none": (lambda self: [], "Point.phases() returned []."),
    "a name twice": (lambda self: Point.phases(self) * 2, "Point.phases() returned ['fit', 'fit']."),
    "no phase": (lambda self: [*Point.phases(self), "fit"], "Point.phases() returned ['fit', 'str']."),
    "all of no variables": (
        lambda self: [Phase("fit", [], self.error)],
        "No phase moves the trainable variable point/p.",
    ),
}


@pytest.mark.parametrize(("phases", "words"), PHASES.values(), ids=PHASES)
def test_phases_that_cannot_be_run_are_refused_by_compile(phases: Any, words: str) -> None:
    with pytest.raises(PluginError) as broken:
        changed(phases=phases)
    assert str(broken.value).startswith(words)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda gradients, along: gradients[:-1], r"\[\]"),
        (lambda gradients, along: [gradients[0][:1]], r"\[\(1,\)\]"),
        (lambda gradients, along: None, "NoneType"),
    ],
)
def test_a_change_gives_one_gradient_for_each_variable(change: Any, found: str) -> None:
    model = changed(phases=lambda self: [Phase("fit", [self.p], self.error, change=change)])
    with pytest.raises(PluginError, match=rf"Phase 'fit': change\(\) returned {found} for gradients of .*\[\(2,\)\]"):
        model.train_on_batch({"x": X})


@pytest.mark.parametrize("name", ["repeats", "every"])
def test_a_phase_is_run_once_at_least(name: str) -> None:
    with pytest.raises(PluginError, match=f"Phase 'fit' has {name}=0; it must be at least 1"):
        Phase("fit", [], lambda batch: None, **{name: 0})


SOURCE = """
import genloom

@genloom.hookimpl
def genloom_components():
    return [genloom.Component("dataset", "promises/rows", "promises_rows:rows", "Rows.")]

def rows(rest):
    return [[0.0, 1.0]]
"""


def test_a_source_that_gives_no_data_set_is_named(tmp_path: Any) -> None:
    (tmp_path / "promises_rows.py").write_text(SOURCE)
    load_file(tmp_path / "promises_rows.py")
    with pytest.raises(PluginError, match=r"promises/rows opened list, which is not a genloom\.data\.Dataset"):
        genloom.data.open("promises/rows")


def test_phases_that_are_no_list_and_methods_of_another_form_are_named() -> None:
    class Lone(Point):
        def phases(self) -> Any:
            return super().phases()[0]

    class Narrow(Point):
        def draw(self, keys: Any) -> Any:  # type: ignore[override]
            return keys

    with pytest.raises(PluginError, match=r"phases\(\) returned"):
        Lone(SPEC).compile()
    with pytest.raises(PluginError, match=r"Narrow\.draw does not take \(keys, condition\)"):
        check_methods(Narrow, GenerativeModel)

    class Seedless(Point):
        def __init__(self, spec: DataSpec) -> None:
            super().__init__(spec)

    with pytest.raises(PluginError, match=r"Seedless\.__init__ does not take \(spec, options, seed=, noise=\)"):
        check_constructor(Seedless)
