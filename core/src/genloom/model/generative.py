"""The model interface: a family builds its networks, names phases and losses, draws samples; the rest is here once."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NoReturn

import keras
import numpy as np
from keras import ops

from genloom import backend, random
from genloom.arguments import instance, whole
from genloom.data.loader import Loader
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, DataError, nearest
from genloom.model.batches import check_item, checked, own_errors, read, refuse_apart
from genloom.model.family import Family
from genloom.model.initializers import reseed
from genloom.model.optimizers import PhaseOptimizers
from genloom.model.phase import Phase
from genloom.model.preparation import Preparation, Start
from genloom.model.promises import check_covered, check_held_out, check_holds, check_phases
from genloom.model.step import Update
from genloom.options import LARGEST_SEED, RESERVED, check_names, configure, runs_named_by

__all__ = ["GenerativeModel", "Phase"]


class _Built(type(keras.Model)):  # type: ignore[misc]
    """Draw the initial weights from the seed once the family's constructor has built its networks.

    Networks that the caller passed in keep their weights: they may be trained already.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        model = super().__call__(*args, **kwargs)
        if isinstance(model, GenerativeModel) and type(model) is cls:
            given = [value for value in (*args, *kwargs.values()) if isinstance(value, keras.Layer)]
            reseed(model, model.seed, keep=given)
        return model


class GenerativeModel(Family, backend.StepMixin, keras.Model, metaclass=_Built):
    """Base of every family.

    A subclass calls `super().__init__(spec, options, seed=seed, noise=noise, **values)`, builds its networks with
    concrete input shapes, and implements `phases` and `draw`; `validate` too where held-out losses make sense.

    Args:
        spec: what one sample is.
        options: an instance of the family's `Options`, or None to make one from `values`.
        seed: seed of the initial weights and of the training noise.
        noise: "native" draws training noise from the backend's generator, "portable" from Threefry, so that losses
            agree across backends.
        **values: option values by name.

    Raises:
        ConfigError: an unknown option (with the nearest name), or a value out of range.
    """

    optimizer: Any = None
    """The `PhaseOptimizers` that `compile` makes; None before."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if dataclasses.is_dataclass(cls.Options):
            own = inspect.signature(cls.__init__).parameters.keys() - runs_named_by(cls.Options).keys()
            check_names(cls.Options, (*RESERVED, *own), cls.__name__)

    def __init__(
        self,
        spec: DataSpec,
        options: Any = None,
        *,
        seed: int = 0,
        noise: Literal["native", "portable"] = "native",
        **values: Any,
    ) -> None:
        backend.keep_compilations()  # before the first weights, which engines compile too
        super().__init__(name=type(self).__name__.lower())
        instance("spec", spec, DataSpec, "a DataSpec", mend="A data set has one: genloom.data.open(data).spec.")
        if noise not in ("native", "portable"):
            raise ConfigError(f"noise must be 'native' or 'portable', got {noise!r}.")
        policy = keras.config.dtype_policy().name
        if policy == "mixed_float16":
            raise ConfigError("mixed_float16 is not supported.", mend="Use the policy 'mixed_bfloat16'.")
        if self.Options is not type(None):
            self.options = (
                options if options is not None and not values else configure(self.Options, _as_dict(options), values)
            )
        elif values:
            raise ConfigError(f"{type(self).__name__} takes no options, got {sorted(values)}.")
        # Below 0 for runs from before there was one rule for seeds.
        self.spec, self.seed, self.noise = spec, whole("seed", seed, -LARGEST_SEED, LARGEST_SEED), noise
        self._step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="step")
        self._samplers: dict[Any, Any] = {}
        self.preparations: dict[str, Preparation] = {}
        self._swapped = False
        self._aside = random.NoiseStream(self.seed, np.int32(0), "portable", domain="aside")
        self.built = True

    # What a family uses.

    @property
    def step(self) -> keras.Variable:
        """The number of finished steps, an int32 scalar readable in a loss."""
        return self._step

    def normal(self, shape: tuple[int, ...]) -> Any:
        """Draw float32 training noise N(0, 1) of `shape` (n, …): in a step keyed by its number, else ever new."""
        return self._stream().normal(shape)

    def uniform(self, shape: tuple[int, ...]) -> Any:
        """Draw float32 training noise U[0, 1) of `shape` (n, …), as `normal` does."""
        return self._stream().uniform(shape)

    def validation_keys(self, batch: dict[str, Any]) -> Any:
        """Return keys (n, 2) for held-out losses: the same for a sample at every evaluation."""
        return random.keys(self.seed, batch["index"], domain="validation")

    def sampler(self, size: int, options: Mapping[str, Any]) -> tuple[Callable[[Any, Any], Any], bool]:
        """Return `draw` with these options, compiled for `size` keys, and whether it is a new one.

        It is kept until `forget_samplers`, for a compiled function computes what the layers were when it was traced.
        """
        key = (size, repr(sorted(options.items())))
        new = key not in self._samplers
        if new:
            self._samplers[key] = backend.compiled(lambda keys, condition: self.draw(keys, condition, **options), self)
        return self._samplers[key], new

    def forget_samplers(self) -> None:
        """Compile anew when next asked; whoever changes what the layers compute calls it."""
        self._samplers.clear()

    def _stream(self) -> random.NoiseStream:
        return random.ambient() or self._aside

    # Training.

    def prepare(self, slot: str, preparation: Preparation, start: Start | None = None) -> None:
        """Put a preparation on the model, which must then be compiled.

        Args:
            slot: what it is there for, such as "adapt"; each holds one preparation.
            preparation: it, as made from its options.
            start: where the training begins; None where weights are read next.

        Raises:
            ConfigError: the slot is taken, or the preparation does not apply to this model.
            PluginError: the preparation holds the model.
        """
        if slot in self.preparations:
            raise ConfigError(f"This model is prepared already: {slot}.", mend="Build it again.")
        preparation.prepare(self, start or Start())
        check_holds(preparation, self)
        self.preparations[slot] = preparation
        self.forget_samplers()

    def training_phases(self) -> list[Phase]:
        """Return the phases that are trained: the family's own, as the preparations change them."""
        phases = check_phases(self, self.phases())
        for preparation in self.preparations.values():
            phases = check_phases(preparation, preparation.phases(phases))
        return phases

    def merge(self) -> None:
        """Put what the preparations learned into the model's own weights: it computes the same without them.

        Raises:
            ConfigError: no weights can stand in for one, such as a learned prompt.
        """
        for preparation in self.preparations.values():
            preparation.merge(self)

    @property
    def prompt(self) -> Any:
        """The learned prompt that a preparation brought, None without one."""
        return next((each.prompt for each in self.preparations.values() if each.prompt is not None), None)

    def compile(
        self,
        optimizer: Any = None,
        *,
        update: Literal["alternating", "simultaneous"] = "alternating",
        ema: float | None = None,
        accumulate: int = 1,
        **kwargs: Any,
    ) -> None:
        """Prepare training.

        Args:
            optimizer: one Keras optimizer (cloned per phase), a mapping phase → optimizer, or None for the family's.
            update: "alternating" applies each phase before the next takes its gradient; "simultaneous" takes all
                gradients at the same parameters first.
            ema: decay of the moving average of weights and statistics, which sampling and evaluation then use; None
                for none.
            accumulate: split each batch into this many parts and average their gradients by weight.
            **kwargs: Keras's own `run_eagerly`, `jit_compile` (True means Inductor on torch), `steps_per_execution`.

        Raises:
            ConfigError: unknown phase names, loss or metrics given to Keras's compile, an optimizer with its own
                moving average or accumulation.
            PluginError: the model has no phases, or a trainable variable that none of them moves.
        """
        for name in ("loss", "metrics", "weighted_metrics", "loss_weights"):
            if kwargs.get(name) is not None:
                raise ConfigError(f"compile() got {name}={kwargs[name]!r}.", mend="A model's phases hold its losses.")
        phases = self.training_phases()
        variables = {phase.name: phase.resolve() for phase in phases}
        check_covered(self, variables)
        chosen = _per_phase(self.default_optimizers() if optimizer is None else optimizer, list(variables))
        super().compile(optimizer=PhaseOptimizers(chosen, variables, ema, self.statistics()), loss=None, **kwargs)
        self._loss_tracker = None  # Keras's own "loss" would shadow the phases' names.
        self._update = Update(self, phases, update, accumulate)
        names = dict.fromkeys([*self._update.names, *self.validation])
        self.trackers = [keras.metrics.Mean(name=name, dtype="float32") for name in names]
        self._means = {mean.name: mean for mean in self.trackers}

    def update_batch(self, data: Any) -> dict[str, Any]:
        """Run one training step on a batch dict; return the running means of losses and metrics."""
        stream = random.NoiseStream(self.seed, self._step.value, self.noise)
        with random.training_noise(stream):
            values = self._update(read(data, self.spec))
        for name, (value, weight) in values.items():
            self._means[name].update_state(value, sample_weight=weight)
        self.after_step()
        self.optimizer.finish_step()
        self._step.assign_add(1)
        return self.running_means()

    def running_means(self) -> dict[str, Any]:
        """Return the means of losses and metrics over the steps of the epoch so far."""
        return {name: self._means[name].result() for name in self._update.names}

    def validate_batch(self, data: Any) -> dict[str, Any]:
        """Return the running means of held-out values, each sample by its weight, the padding masked."""
        batch = read(data, self.spec)
        n = ops.shape(batch["x"])[0]
        batch.setdefault("index", ops.arange(n, dtype="int32"))
        mask = ops.cast(batch.get("mask", ops.ones((n,))), "float32")
        values = self.validate(batch)
        weights = self.validation_weights(batch)
        check_held_out(self, values, weights, n)
        weights = mask * ops.cast(weights, "float32")
        for name, value in values.items():
            self._means[name].update_state(ops.cast(value, "float32"), sample_weight=weights)
        return {name: self._means[name].result() for name in self.validation}

    def fit(self, x: Any = None, y: Any = None, *args: Any, validation_data: Any = None, **kwargs: Any) -> Any:
        """Keras's fit, on batches that are what the model's spec says.

        Args:
            x: an array (n, *shape), {"x": such an array, "label": class numbers (n,)}, a generator of such, a
                `genloom.data.Loader`, or a data set of Keras, TensorFlow or torch. Arrays are checked whole before the
                first step, batches of a generator as they are read (values of tensors in one of 64), of a data set
                the first.
            y: None, for labels are in the batch.
            *args: Keras's own, as are **kwargs.
            validation_data: held-out samples in the same forms.

        Raises:
            ConfigError: labels or weights beside the batch, or a DataError: see `genloom.data.fitting.check_batch`.
        """
        refuse_apart(y=y, sample_weight=kwargs.get("sample_weight"), class_weight=kwargs.get("class_weight"))
        if isinstance(x, (Loader, Iterator)):
            kwargs.setdefault("shuffle", False)  # a stream's order is its own, and Keras warns of any other wish
        with own_errors() as raised:
            held_out = None if validation_data is None else checked(validation_data, self, raised)
            return super().fit(checked(x, self, raised), None, *args, validation_data=held_out, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Keras's train_on_batch, on one batch that is held against the spec as in `fit`."""
        refuse_apart(y=y, sample_weight=kwargs.get("sample_weight"), class_weight=kwargs.get("class_weight"))
        check_item(x, self)
        return super().train_on_batch(x, None, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Keras's test_on_batch, on one batch that is held against the spec as in `evaluate`."""
        refuse_apart(y=y, sample_weight=kwargs.get("sample_weight"))
        check_item(x, self)
        return super().test_on_batch(x, None, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Keras's evaluate, on the averaged weights when there are any; takes, and refuses, what `fit` does.

        Raises:
            DataError: no sample has a weight, as in a text that only prompts fill.
        """
        refuse_apart(y=y, sample_weight=kwargs.get("sample_weight"))
        with own_errors() as raised, self.averaged_weights():
            if not kwargs.get("_use_cached_eval_dataset"):  # within `fit`, which has checked it
                x = checked(x, self, raised)
            found = super().evaluate(x, None, *args, **kwargs)
        for name in self.validation:
            if float(ops.convert_to_numpy(self._means[name].count)) == 0.0:
                raise DataError(
                    f"No held-out sample counts in {name!r}.",
                    mend="Set more samples aside (training.validation=0.3), or none (training.validation=0).",
                )
        return found

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Swap in the moving average of weights and statistics, if any, for the length of a `with` block."""
        optimizer = self.optimizer
        if optimizer is None or optimizer.ema is None or self._swapped:
            yield
            return
        self.sync_state()
        kept = [ops.copy(v.value) for v in optimizer.averaged]
        self._swapped = True
        try:
            for variable, shadow in zip(optimizer.averaged, optimizer.shadows, strict=True):
                # A copy: JAX gives away the buffers of the variables it evaluates, and the average must survive that.
                variable.assign(ops.copy(shadow.value))
            yield
        finally:
            for variable, value in zip(optimizer.averaged, kept, strict=True):
                variable.assign(value)
            self._swapped = False

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse Keras's format: it holds no data spec and no random state, and opening it runs what it says.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"{type(self).__name__} has no save(): a model is kept as a run, with the description of its data.",
            mend="Use genloom.training.write_run(id, model, 'runs/mine') and genloom.load('runs/mine'); "
            "genloom.train keeps a run by itself.",
        )

    def export(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse Keras's `export`: a generative model has no call on a batch that an exported file could answer.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"{type(self).__name__} has no export().",
            mend="Ship the run: genloom.load(run) and genloom.sample(run, n, seed) use it on every engine.",
        )

    def predict(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse Keras's `predict`: what a generative model gives for a batch depends on the question.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"{type(self).__name__} has no predict().",
            mend="Draw with genloom.sample(model, n, seed); encode(x), decode(z) and validate(batch) take data.",
        )

    def call(self, keys: Any, condition: dict[str, Any] | None = None) -> Any:
        """Draw samples: `model(keys)` is `model.draw(keys, condition or {})`."""
        return self.draw(keys, condition or {})

    def _symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        """Skip Keras's symbolic build: every network is built in the constructor."""


def _as_dict(options: Any) -> Mapping[str, Any]:
    return {} if options is None else vars(options)


def _per_phase(optimizer: Any, names: list[str]) -> dict[str, Any]:
    if not isinstance(optimizer, Mapping):
        return dict.fromkeys(names, _optimizer(optimizer))
    for name in optimizer:
        if name not in names:
            raise ConfigError(f"There is no phase {name!r}; the phases are {names}.{nearest(name, names)}")
    for name in names:
        if name not in optimizer:
            raise ConfigError(f"Phase {name!r} has no optimizer.", mend=f"Give one for each of {names}.")
    return {name: _optimizer(optimizer[name]) for name in names}


def _optimizer(given: Any) -> Any:
    """Return an optimizer, by its name in Keras or as it is.

    Raises:
        ConfigError: it is none.
    """
    try:
        found = keras.optimizers.get(given) if isinstance(given, str) else given
    except ValueError:
        found = None
    if not isinstance(found, keras.optimizers.Optimizer):
        raise ConfigError(f"{given!r} is no optimizer of Keras.", mend="Use one such as keras.optimizers.Adam(1e-3).")
    return found
