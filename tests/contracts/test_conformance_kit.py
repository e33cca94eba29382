"""Each promise broken on purpose in a toy model: exactly the test of that promise fails, and says so."""

from __future__ import annotations

import dataclasses
import itertools
import re
import warnings
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, Phase, backend, random
from genloom.testing import ModelConformance
from genloom.testing.data import made_up
from genloom.testing.outcome import failures
from genloom.testing.probes import built_in, derivatives, probes_of

SPEC = DataSpec((3,), kind="signal", value_range=(0.0, 1.0))


@dataclasses.dataclass(frozen=True)
class Options:
    width: int = genloom.option(4, "Units.", minimum=1)


class Toy(genloom.GenerativeModel):
    """A denoiser of one layer, and samples squashed from noise: the least that keeps every promise."""

    Options = Options
    validation: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(3)])
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def default_optimizers(self) -> Any:
        return keras.optimizers.Adam(1e-2)

    def phases(self) -> list[Phase]:
        return [Phase("fit", self.moved, self.error, ("size",))]

    def moved(self) -> list[Any]:
        return self.network.trainable_variables

    def error(self, batch: dict[str, Any]) -> Any:
        x = batch["x"]
        y = self.network(x + 0.1 * self.normal(tuple(x.shape)))
        return ops.mean(ops.square(y - x)), {"size": ops.mean(ops.square(y))}, 1.0

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"loss": ops.mean(ops.square(self.network(batch["x"]) - batch["x"]), axis=-1)}

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return ops.sigmoid(self.network(random.normal(keys, (3,))))


class NotFrozen(Toy):
    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        object.__setattr__(self.options, "width", "four")


class Unseeded(Toy):
    builds = itertools.count()

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.calls.assign(float(next(self.builds)))


class Forgotten(Toy):
    def moved(self) -> list[Any]:
        return self.network.trainable_variables[:-1]


class Undeclared(Toy):
    def phases(self) -> list[Phase]:
        return [Phase("fit", self.moved, self.error)]


class NotPerSample(Toy):
    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"loss": ops.mean(ops.square(self.network(batch["x"]) - batch["x"]))}


class Climbing(Toy):
    def error(self, batch: dict[str, Any]) -> Any:
        value, metrics, weight = super().error(batch)
        return value + 10.0 * self.optimizer_steps(), metrics, weight

    def optimizer_steps(self) -> Any:
        return ops.cast(self.calls.value, "float32")

    def after_step(self) -> None:
        self.calls.assign_add(1.0)


class Forgetful(Toy):
    """Keeps state of training in a tensor of Python's own, where no checkpoint sees it."""

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self._hidden = 0.0

    def error(self, batch: dict[str, Any]) -> Any:
        value, metrics, weight = super().error(batch)
        return value * (1.0 + 0.5 * self._hidden), metrics, weight

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        done = super().fit(*args, **kwargs)
        self._hidden = 1.0
        self.compile_again()
        return done

    def compile_again(self) -> None:
        self.train_function = None
        self._captured_for = None


class Retraced(Toy):
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        self.train_function = None
        self._captured_for = None
        return super().fit(*args, **kwargs)


class WrongGradient(Toy):
    def error(self, batch: dict[str, Any]) -> Any:
        x = batch["x"]
        y = self.network(x + 0.1 * self.normal(tuple(x.shape)))
        return ops.mean(ops.square(y - x) + ops.stop_gradient(0.5 * ops.square(y - x))), {"size": ops.mean(y)}, 1.0


class Stopped(Toy):
    """The loss is right, and one bias of four learns nothing."""

    def phases(self) -> list[Phase]:
        self.network.layers[-1].bias.assign([0.3, 0.1, -0.2])
        return super().phases()

    def error(self, batch: dict[str, Any]) -> Any:
        x, last = batch["x"], self.network.layers[-1]
        hidden = self.network.layers[0](x + 0.1 * self.normal(tuple(x.shape)))
        y = ops.matmul(hidden, last.kernel) + ops.stop_gradient(last.bias.value)
        return ops.mean(ops.square(y - x)), {"size": ops.mean(ops.square(y))}, 1.0


class Dropped(Toy):
    """A small term counts in the loss and not in its gradient."""

    def error(self, batch: dict[str, Any]) -> Any:
        value, metrics, weight = super().error(batch)
        small = sum(ops.sum(ops.square(variable.value)) for variable in self.moved())
        return value + ops.stop_gradient(0.001 * small), metrics, weight


class Scaled(Toy):
    """Two phases, and the gradient of the second is a hundredth too long."""

    def phases(self) -> list[Phase]:
        first, second = self.network.layers
        return [
            Phase("first", lambda: first.trainable_variables, self.error, ("size",)),
            Phase("second", lambda: second.trainable_variables, self.longer, ("size",)),
        ]

    def longer(self, batch: dict[str, Any]) -> Any:
        value, metrics, weight = self.error(batch)
        return 1.01 * value - ops.stop_gradient(0.01 * value), metrics, weight


class OwnNoise(Toy):
    """Noise that comes from elsewhere than the step."""

    drawn = np.random.default_rng(0)

    def error(self, batch: dict[str, Any]) -> Any:
        noise = ops.convert_to_tensor(self.drawn.standard_normal(batch["x"].shape).astype("float32"))
        return super().error({**batch, "x": batch["x"] + 0.1 * ops.cast(noise, batch["x"].dtype)})


class Impure(Toy):
    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        self.calls.assign_add(1.0)
        return super().draw(keys, condition)


class OutOfRange(Toy):
    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return 2.0 + super().draw(keys, condition)


class OneSample(Toy):
    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return super().draw(ops.zeros_like(keys), condition)


class BatchNormal(Toy):
    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        x = random.normal(keys, (3,))
        return ops.sigmoid(x - ops.mean(x, axis=0, keepdims=True))


class Uncapturable(Toy):
    def error(self, batch: dict[str, Any]) -> Any:
        value, metrics, weight = super().error(batch)
        if backend.name() == "torch" and float(ops.stop_gradient(value)) < -1.0:
            value = value + 1.0
        return value, metrics, weight


BREACHES = [
    (NotFrozen, "test_configuration_round_trips"),
    (Unseeded, "test_builds_the_same_weights_from_a_seed"),
    (Forgotten, "test_every_trainable_variable_is_in_a_phase"),
    (Undeclared, "test_metrics_are_declared"),
    (NotPerSample, "test_metrics_are_declared"),
    (Climbing, "test_loss_falls"),
    (Forgetful, "test_resumed_training_equals_the_uninterrupted"),
    (Retraced, "test_losses_are_not_traced_again"),
    (WrongGradient, "test_gradient_is_the_losses_derivative"),
    (Stopped, "test_gradient_is_the_losses_derivative"),
    (Dropped, "test_gradient_is_the_losses_derivative"),
    (Scaled, "test_gradient_is_the_losses_derivative"),
    (Impure, "test_draw_is_pure"),
    (OutOfRange, "test_samples_have_the_specs_shape_and_range"),
    (OneSample, "test_samples_depend_on_the_seed_alone"),
    (BatchNormal, "test_samples_do_not_depend_on_the_batch"),
]
# A recompiled step is a retraced one as well.
ALSO = {"Forgetful": {"test_losses_are_not_traced_again"}}


def outcome(model: type[Toy], **attributes: Any) -> dict[str, str]:
    """Run every test of the kit on a model; return the failures by name."""
    made = {"spec": SPEC, "make": lambda self, seed=0: model(SPEC, seed=seed), "backends": (), **attributes}
    return failures(type("Kit", (ModelConformance,), made))


def test_a_sound_model_passes() -> None:
    assert outcome(Toy) == {}


@pytest.mark.parametrize(("model", "name"), BREACHES, ids=[model.__name__ for model, _ in BREACHES])
def test_a_broken_promise_fails_its_own_test(model: type[Toy], name: str) -> None:
    failed = outcome(model)
    assert name in failed
    assert set(failed) - ALSO.get(model.__name__, set()) == {name}
    assert "Promise broken" in failed[name]


def test_noise_that_is_not_replayed_is_seen() -> None:
    kit = type("Kit", (ModelConformance,), {"spec": SPEC, "make": lambda self, seed=0: OwnNoise(SPEC, seed=seed)})
    with pytest.raises(AssertionError, match="draws noise of its own"):
        kit().test_noise_is_replayed()


class Kinked(Toy):
    """Rectifiers with thousands of kinks, and a penalty on their slopes, which jumps at each."""

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        leaky = keras.layers.LeakyReLU
        dense = keras.layers.Dense
        self.network = keras.Sequential([keras.Input((3,)), dense(64), leaky(), dense(64), leaky(), dense(3)])

    def error(self, batch: dict[str, Any]) -> Any:
        value, metrics, weight = super().error(batch)
        slope = backend.grad(self.network)(batch["x"])
        return value + 0.1 * ops.mean(ops.square(slope)), metrics, weight


class StoppedKinked(Kinked):
    def error(self, batch: dict[str, Any]) -> Any:
        value, metrics, weight = super().error(batch)
        part = 0.01 * ops.mean(ops.square(self.network.layers[0].bias.value - 1.0))
        return value + ops.stop_gradient(part), metrics, weight


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_each_variable_is_differenced_along_its_gradient_and_across_it(precision: Any) -> None:
    """What is allowed is a hundred times finer in float64; neither hides a bias that is stopped."""
    batch = made_up(SPEC, 16)
    (sound,), (stopped,) = (built_in(precision, lambda model=model: model(SPEC)) for model in (Toy, Stopped))
    found = list(derivatives(sound, batch))
    assert len(found) == 2 * len(sound.variables) == 8
    assert not [d for d in found if d.wrong]
    assert {d.direction for d in found} == {"along", "across"}
    assert all(abs(d.by_gradient) < 1e-12 for d in found if d.direction == "across")
    wrong = [d for d in derivatives(stopped, batch) if d.wrong]
    assert {d.variable for d in wrong} == {stopped.variables[-1].path}
    assert max(abs(d.numerical) / d.allowed for d in wrong) > {"float64": 1e4, "float32": 10}[precision]


def test_kinks_raise_no_false_alarm_and_hide_no_fault() -> None:
    batch = made_up(SPEC, 16)
    for seed in range(3):
        (sound,) = built_in("float64", lambda seed=seed: Kinked(SPEC, seed=seed))
        assert not [d for d in derivatives(sound, batch) if d.wrong]
    (stopped,) = built_in("float64", lambda: StoppedKinked(SPEC))
    assert {d.variable for d in derivatives(stopped, batch) if d.wrong} == {stopped.variables[1].path}


class Edge(Toy):
    """One weight: its loss bends at 1 by curvature, and breaks `off` beside it."""

    def __init__(self, spec: DataSpec, off: float, **values: Any) -> None:
        super().__init__(spec, **values)
        self.edge, self.weight = 1.0 + off, self.add_weight(shape=(2,), initializer="ones", name="weight")

    def phases(self) -> list[Phase]:
        return [Phase("fit", lambda: [self.weight], self.error)]

    def error(self, batch: dict[str, Any]) -> Any:
        w = self.weight.value
        return 1e3 * ops.square(w[0] - 1.0) + w[1] + ops.relu(w[0] - self.edge), {}, 1.0


@pytest.mark.parametrize(("off", "kinked"), [(1e-3, 0), (0.0, 1), (1e-7, 1), (6e-7, 1), (-1e-7, 1)])
def test_a_kink_within_the_step_is_told_from_curvature(off: float, kinked: int) -> None:
    """Whatever the gradient says: along w₁ nothing breaks, across it every direction does unless the kink is far."""
    (probe,) = built_in("float64", lambda: Edge(SPEC, off))
    found = {d.direction: d for d in derivatives(probe, made_up(SPEC, 4))}
    assert sum(d.numerical is None for d in found.values()) == kinked
    assert found["along"].numerical == pytest.approx(found["along"].by_gradient, abs=1e-4)


class Narrow(Toy):
    """Its loss is float32, whatever floatx says."""

    def error(self, batch: dict[str, Any]) -> Any:
        value, metrics, weight = super().error(batch)
        return ops.cast(value, "float32"), metrics, weight


class Mixed(Toy):
    """Its outputs are float32 among numbers of floatx: an error on one engine, a promotion on others."""

    def error(self, batch: dict[str, Any]) -> Any:
        y = ops.cast(self.network(batch["x"]), "float32")
        return ops.mean(ops.square(y - batch["x"])), {"size": ops.mean(ops.square(y))}, 1.0


@pytest.mark.parametrize(("model", "precision"), [(Toy, "float64"), (Narrow, "float32"), (Mixed, "float32")])
def test_models_are_differenced_in_the_precision_that_they_have(
    model: type[Toy], precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = made_up(SPEC, 16)
    (probe,) = probes_of(lambda: model(SPEC), batch)
    assert probe.precision == precision
    assert not [d for d in derivatives(probe, batch) if d.wrong]
    assert ("gradients are compared in float32, less sharply: " in capsys.readouterr().err) == (precision == "float32")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (TypeError("lax.dot_general requires arguments to have the same dtypes, got float32, float64."), False),
        (RuntimeError("expected m1 and m2 to have the same dtype, but got: float != double"), False),
        (ValueError("cannot compute Sub as input #1 was expected to be a float tensor but is a double tensor"), False),
        (KeyError("label"), True),
        (ValueError("shapes (4,) and (3,) do not fit"), True),
    ],
)
def test_only_what_an_engine_says_of_precision_is_answered_by_float32(error: Exception, raised: bool) -> None:
    class Failing(Toy):
        def error(self, batch: dict[str, Any]) -> Any:
            if keras.config.floatx() == "float64":
                raise error
            return super().error(batch)

    if raised:
        with pytest.raises(type(error), match=re.escape(str(error.args[0]))):
            probes_of(lambda: Failing(SPEC), made_up(SPEC, 16))
    else:
        assert [probe.precision for probe in probes_of(lambda: Failing(SPEC), made_up(SPEC, 16))] == ["float32"]


@pytest.mark.skipif(backend.name() != "torch", reason="only torch captures")
def test_an_uncapturable_step_is_seen() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert set(outcome(Uncapturable)) == {"test_step_is_captured"}


def test_other_samples_than_the_stored_are_seen(tmp_path: Any) -> None:
    path = tmp_path / "stored.npz"
    kit = type("Kit", (ModelConformance,), {"spec": SPEC, "make": lambda self, seed=0: Toy(SPEC, seed=seed)})()
    kit.store(path)
    assert outcome(Toy, stored=path) == {}
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "samples": arrays["samples"] + 0.01})
    assert set(outcome(Toy, stored=path)) == {"test_samples_equal_the_stored_ones"}
