"""The promises of a model, as a pytest class to inherit; each failure says which promise broke."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from keras import ops

from genloom import backend, random
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, GenLoomError, PluginError, RunError
from genloom.model import state
from genloom.model.naming import variable_names
from genloom.opening.create import create
from genloom.options import configure
from genloom.sampling.conditions import conditions
from genloom.sampling.drawing import draw_samples
from genloom.testing.data import made_up
from genloom.testing.experiment import Experiment, run_experiment
from genloom.testing.offered import Offered
from genloom.testing.precision import Precision
from genloom.testing.probes import Probe, built_in, derivatives, probes_of, uncovered

__all__ = ["ModelConformance"]

_SAVED = ("model/", "ema/", "optimizer/", "counter/")
_STORED = "GENLOOM_CONFORMANCE_STORED"  # set for the processes of the other engines: the file to compare with


class ModelConformance(Offered):
    """Inherit in a test module, as `class TestMine(ModelConformance): id = "my/model"; spec = DataSpec(...)`.

    One short training serves most tests, so the whole class takes seconds with a small model. Override `make` for a
    model outside the registry, `batch` for data of your own.
    """

    kind = "model"
    spec: ClassVar[DataSpec] = DataSpec((8, 8, 1))
    """Data to build it for; keep it small."""
    preset: ClassVar[str | None] = None
    options: ClassVar[dict[str, Any]] = {}
    """Option values that make the model small."""
    sampling: ClassVar[dict[str, Any]] = {}
    """Options of `draw`."""
    rows: ClassVar[int] = 16
    """Samples of one update."""
    steps: ClassVar[int] = 8
    """Steps of each of the two epochs of the short training."""
    falls: ClassVar[tuple[str, ...] | None] = None
    """Phases whose loss falls in training; None means the only phase, and none of several (adversaries)."""
    exact_gradients: ClassVar[bool] = True
    """False for estimators that are not the loss's derivative, such as straight-through."""
    precision: ClassVar[Precision] = "float64"
    """What gradients are checked in. Without "float64", which takes a loss whose full precision is
    `keras.config.floatx()`, the kit falls back to "float32", less sharp and for losses without kinks; set that where
    float32 hides in an engine's own operation."""
    stored: ClassVar[Path | None] = None
    """A file written by `store` on another backend, to compare samples with."""
    backends: ClassVar[tuple[str, ...]] = ("jax", "torch", "tensorflow")
    """Engines that the model is for. Those that are installed beside the one in use run the whole class as well."""

    def make(self, seed: int = 0) -> Any:
        """Return a new model, not compiled."""
        self.component()
        return create(self.id, self.spec, preset=self.preset, seed=seed, compile=False, **self.options)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Return the batch of one step, a pure function of it: "x", and "label" with classes."""
        repeats = max(phase.repeats for phase in self._made().phases())
        return made_up(self.spec, self.rows * repeats, seed=step % 4)

    def store(self, path: Path) -> None:
        """Write weights and samples of the trained model, for `stored` on the other backends."""
        model = self._trained().model
        weights = {k: v for k, v in state.collect(model).items() if k.startswith("model/")}
        arrays: Any = {"samples": self._samples(model, 8, weights="trained"), **weights}
        np.savez_compressed(path, **arrays)

    def test_configuration_round_trips(self) -> None:
        """Options and data spec survive being written to a run and read again."""
        model = self._made()
        assert DataSpec.from_dict(model.spec.to_dict()) == model.spec, "Promise broken: the data spec changes."
        options = model.options
        if options is not None:
            plain = json.loads(json.dumps(dataclasses.asdict(options)))
            try:
                again = configure(type(options), plain)
            except ConfigError as error:
                raise AssertionError(f"Promise broken: the options cannot be read back: {error}") from error
            assert again == options, f"Promise broken: options read back differ: {options} became {again}."

    def test_builds_the_same_weights_from_a_seed(self) -> None:
        """All weights exist after the constructor, and the seed alone decides them."""
        first, same, other = self.make(3), self.make(3), self.make(4)
        named = [variable_names(model) for model in (first, same, other)]
        assert first.trainable_variables, "Promise broken: the constructor builds no trainable variable."
        arrays = [{k: np.asarray(ops.convert_to_numpy(v.value)) for k, v in n.items()} for n in named]
        for name, value in arrays[0].items():
            assert np.array_equal(value, arrays[1][name]), f"Promise broken: {name} differs for the same seed."
        differ = any(not np.array_equal(v, arrays[2][k]) for k, v in arrays[0].items())
        assert differ, "Promise broken: another seed gives the same weights."

    def test_every_trainable_variable_is_in_a_phase(self) -> None:
        """What no phase moves stays at its initial value, in silence."""
        left = uncovered(self._made())
        assert not left, f"Promise broken: no phase moves {', '.join(left)}."

    def test_metrics_are_declared(self) -> None:
        """A loss returns exactly the metrics its phase names, `validate` one value per sample under its names."""
        for phase, found in self._undeclared():
            assert not found, f"Promise broken: phase {phase} and its loss disagree on the metrics {found}."
        model = self._made()
        batch = {k: ops.convert_to_tensor(v) for k, v in self.batch(0).items()}
        n = int(batch["x"].shape[0])
        values = model.validate({**batch, "index": ops.arange(n, dtype="int32")})
        stray = sorted(set(model.directions) - set(model.validation))
        assert not stray, f"Promise broken: directions names {stray}, which validation does not."
        assert set(values) == set(model.validation), (
            f"Promise broken: validate() returns {sorted(values)}, declared are {sorted(model.validation)}."
        )
        for name, value in values.items():
            shape = tuple(value.shape)
            assert shape == (n,), f"Promise broken: validate() returns {name} of shape {shape}, not one per sample."
        shape = tuple(model.validation_weights(batch).shape)
        assert shape == (n,), f"Promise broken: validation_weights() returns the shape {shape}, not one per sample."

    def test_noise_is_replayed(self) -> None:
        """A loss computed twice at one step is one number: it draws from nowhere but `normal`, `uniform` and layers."""
        for probe in self._probes():
            first, again = probe.loss(self._rows()), probe.gradients(self._rows())[0]
            allowed = {"float64": 1e-12, "float32": 1e-5}[probe.precision] * max(1.0, abs(first))  # of rounding
            assert abs(again - first) <= allowed, (
                f"Promise broken: the loss of {probe.phase.name} is {first:.6g}, and {again:.6g} when it is computed "
                "again: it draws noise of its own."
            )

    def test_loss_falls(self) -> None:
        """Training lowers the loss, at the same noise on the same batch."""
        names = [phase.name for phase in self._made().phases()]
        chosen = self.falls if self.falls is not None else tuple(names if len(names) == 1 else ())
        if not chosen:
            pytest.skip("the losses of adversaries need not fall")
        done = self._trained()
        for name in chosen:
            assert done.after[name] < done.before[name], (
                f"Promise broken: the loss of {name} went from {done.before[name]:.4g} to {done.after[name]:.4g}."
            )

    def test_loaded_state_equals_the_saved_one(self) -> None:
        """Weights, averages, optimizers and counters survive being put into a fresh model."""
        done = self._trained()
        self._same(done.middle, done.loaded, "is not what was saved")

    def test_resumed_training_equals_the_uninterrupted(self) -> None:
        """A training continued from a snapshot ends bitwise where the uninterrupted one does."""
        done = self._trained()
        self._same(done.end, done.resumed, "differs after resuming: some state is kept outside variables")

    def test_losses_are_not_traced_again(self) -> None:
        """After the first epoch Python runs the losses no more."""
        done = self._trained()
        if self._fallback(done) is not None:
            pytest.skip("the step runs eagerly: see test_step_is_captured")
        first, both = done.traces
        assert both == first, f"Promise broken: the losses were traced {both - first} times more in the second epoch."

    def test_step_is_captured(self) -> None:
        """On torch the whole step becomes one graph; elsewhere there is nothing to check."""
        reason = self._fallback(self._trained())
        assert reason is None, f"Promise broken: the step cannot be captured on torch: {reason}"

    def test_gradient_is_the_losses_derivative(self) -> None:
        """Gradients agree with central differences, variable by variable."""
        if not self.exact_gradients:
            pytest.skip("exact_gradients is False")
        done = self._trained()
        for probe in self._probes():
            probe.follow(done.model)
            for found in derivatives(probe, self._rows()):
                assert found.numerical is not None, (
                    f"Promise broken: in phase {probe.phase.name} the loss has a kink at {found.variable} as it is."
                )
                assert not found.wrong, (
                    f"Promise broken: in phase {probe.phase.name} the derivative by {found.variable}, "
                    f"{found.direction} its gradient, is {found.numerical:.9g}; the gradient says "
                    f"{found.by_gradient:.9g}."
                )

    def test_draw_is_pure(self) -> None:
        """Sampling writes to no variable."""
        reason = self._impurity()
        assert reason is None, f"Promise broken: {reason}"

    def test_samples_have_the_specs_shape_and_range(self) -> None:
        """`draw` returns finite samples in the value range, not normalised ones."""
        x = self._draw(self._trained().model, 8)
        shape = (8, *self.spec.shape)
        assert x.shape == shape, f"Promise broken: draw() returns the shape {x.shape} instead of {shape}."
        assert np.isfinite(x).all(), "Promise broken: draw() returns numbers that are not finite."
        if self.spec.value_range is not None:
            low, high = self.spec.value_range
            slack = 1e-3 * (high - low)
            assert x.min() >= low - slack, f"Promise broken: draw() returns {x.min():.4g}, below {low:g}."
            assert x.max() <= high + slack, f"Promise broken: draw() returns {x.max():.4g}, above {high:g}."

    def test_samples_depend_on_the_seed_alone(self) -> None:
        """The same seed gives the same samples; another seed, and another sample, differ."""
        model = self._sampled()
        first, again, other = (self._samples(model, 4, seed=seed) for seed in (5, 5, 6))
        assert np.array_equal(first, again), "Promise broken: the same seed gave other samples."
        assert not np.array_equal(first, other), "Promise broken: another seed gave the same samples."
        assert not np.array_equal(first[0], first[1]), "Promise broken: two samples of one seed are the same."

    def test_samples_do_not_depend_on_the_batch(self) -> None:
        """Sample i is the same drawn alone and among others."""
        model = self._sampled()
        together, apart = self._samples(model, 6, chunk=6), self._samples(model, 6, chunk=2)
        off = self._distance(together, apart)
        assert off <= 1e-4, f"Promise broken: samples differ by {off:.2g} of half the range with the batch size."

    def test_samples_equal_the_stored_ones(self) -> None:
        """The weights of another backend give the same samples here."""
        stored = self.stored or os.environ.get(_STORED)
        if stored is None:
            pytest.skip("stored is not set")
        with np.load(stored, allow_pickle=False) as arrays:
            model = self.make(9)
            state.restore_weights(model, {k: arrays[k] for k in arrays.files if k != "samples"}, averaged=False)
            off = self._distance(self._samples(model, 8, weights="trained"), arrays["samples"])
        assert off <= 2e-4, f"Promise broken: samples differ by {off:.2g} of half the range from the stored ones."

    def test_declared_backends_all_pass(self) -> None:
        """The whole class passes on every other engine that is declared and installed, its samples equal to these."""
        if _STORED in os.environ:
            pytest.skip("this is one of the other engines")
        others = [name for name in sorted({*self.backends} - {backend.name()}) if find_spec(name) is not None]
        if not others:
            pytest.skip("no other engine that is declared is installed")
        with tempfile.TemporaryDirectory(prefix="genloom-") as folder:
            path = Path(folder) / "stored.npz"
            self.store(path)
            for name in others:
                failed = _on_engine(name, type(self), path)
                assert not failed, f"Promise broken: on {name} these fail:\n{failed}"

    # The shared experiment; a promise that is broken already is reported by its own test, others skip.

    def _once(self, key: str, work: Any) -> Any:
        cache = self.__class__.__dict__.get("_cache")
        if cache is None:
            cache = {}
            self.__class__._cache = cache  # type: ignore[attr-defined]
        if key not in cache:
            cache[key] = work()
        return cache[key]

    def _made(self) -> Any:
        return self._once("made", self.make)

    def _trained(self) -> Experiment:
        if uncovered(self._made()):
            pytest.skip("needs a trainable model: see test_every_trainable_variable_is_in_a_phase")
        if any(found for _, found in self._undeclared()):
            pytest.skip("needs a trainable model: see test_metrics_are_declared")
        return self._once("trained", self._run)

    def _run(self) -> Experiment:
        return run_experiment(self._made(), self.make(), self._probes(), self.batch, self.steps)

    def _probes(self) -> list[Probe]:
        return self._once("probes", self._make_probes)

    def _make_probes(self) -> list[Probe]:
        if self.precision == "float32":
            return built_in("float32", self.make)
        return probes_of(self.make, self._rows())

    def _rows(self) -> dict[str, np.ndarray]:
        """Return what one update of a phase sees."""
        return {name: array[: self.rows] for name, array in self.batch(0).items()}

    def _undeclared(self) -> list[tuple[str, list[str]]]:
        return self._once("undeclared", self._compare_metrics)

    def _compare_metrics(self) -> list[tuple[str, list[str]]]:
        return [(p.phase.name, sorted(p.metrics(self._rows()) ^ {*p.phase.metrics})) for p in self._probes()]

    def _fallback(self, done: Experiment) -> str | None:
        return done.model.eager_because

    def _impurity(self) -> str | None:
        return self._once("impurity", self._look_for_writes)

    def _look_for_writes(self) -> str | None:
        model = self._trained().model
        try:
            self._compiled_draw(model, 2)
        except ConfigError:
            raise
        except GenLoomError as error:
            return str(error)
        return None

    def _compiled_draw(self, model: Any, n: int) -> np.ndarray:
        arrays = {k: ops.convert_to_tensor(v) for k, v in conditions(model, n, 0, None).items()}
        draw = backend.compiled(lambda keys, condition: model.draw(keys, condition, **self.sampling), model)
        return np.asarray(ops.convert_to_numpy(draw(random.keys(0, n), arrays)))

    def _draw(self, model: Any, n: int) -> np.ndarray:
        if self._impurity() is not None:
            pytest.skip("needs a pure draw(): see test_draw_is_pure")
        return self._compiled_draw(model, n)

    def _distance(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return the largest difference of samples, in half ranges or, of unbounded data, in deviations."""
        return float(np.abs(self.spec.normalise(a) - self.spec.normalise(b)).max())

    def _sampled(self) -> Any:
        """Return the trained model when its samples are usable at all."""
        model = self._trained().model
        if self._impurity() is not None:
            pytest.skip("needs a pure draw(): see test_draw_is_pure")
        return model

    def _samples(self, model: Any, n: int, seed: int = 0, **how: Any) -> np.ndarray:
        """Return samples under `sample`'s own rules of chunks and labels, without its checks of range."""
        try:
            return draw_samples(model, n, seed, options=self.sampling, **how).samples
        except (PluginError, RunError) as error:
            pytest.skip(f"see test_samples_have_the_specs_shape_and_range: {error}")

    def _same(self, expected: dict[str, np.ndarray], found: dict[str, np.ndarray], words: str) -> None:
        for name, value in expected.items():
            if name.startswith(_SAVED):
                assert np.array_equal(value, found[name]), f"Promise broken: {name} {words}."


def _on_engine(name: str, kit: type, stored: Path) -> str:
    """Run a class of tests on another engine, in a process of its own; return what failed, "" when nothing did."""
    where = f"{inspect.getfile(kit)}::{kit.__qualname__.replace('.', '::')}"
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", where]
    env = {**os.environ, "KERAS_BACKEND": name, _STORED: str(stored)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-3000:]
