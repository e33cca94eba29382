"""Where the time of a training step goes: a table, RUN/profile.json, and a trace of the engine in RUN/profile.

The steps that are timed are steps of the training itself, each waited for, so that a profiled run ends with the weights
that it would have had. What a compiled step hides, its optimizer, is timed apart on copies of the variables.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from genloom import backend
from genloom.backend.executions import steps_of
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError
from genloom.files.atomic import write_atomic
from genloom.messages import tell
from genloom.model import GenerativeModel, Phase

if TYPE_CHECKING:
    from genloom.model.optimizers import PhaseOptimizers
    from genloom.training.continuity import TrainingCallbacks
    from genloom.training.session import Session

__all__ = ["Execution", "Profile", "check_length", "matmul_peak", "optimizer_seconds", "profile_of", "table_of"]

_WARM_UP, _TIMED, _TRACED = 3, 30, 3  # executions


@dataclasses.dataclass
class Execution:
    """Seconds of one call of the engine: waiting for data, computing, callbacks, and all until the next."""

    steps: int
    data: float = 0.0
    compute: float = 0.0
    callbacks: float = 0.0
    whole: float = 0.0


class Profile:
    """The profile of one training.

    Args:
        session: the training.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.executions: list[Execution] = []
        self.count, self.batch = 0, None
        self.trace, self._trace_ends = contextlib.ExitStack(), 0
        self._begun = self._ended = 0.0

    def watch(self, training: TrainingCallbacks) -> None:
        """Put clocks around the callbacks of a training."""
        begin, end = training.on_train_batch_begin, training.on_train_batch_end

        def on_begin(batch: int, logs: Any = None) -> None:
            self._before()
            begin(batch, logs)

        def on_end(batch: int, logs: Any = None) -> None:
            began = time.perf_counter()
            end(batch, logs)
            self._after(time.perf_counter() - began)

        training.on_train_batch_begin, training.on_train_batch_end = on_begin, on_end  # type: ignore[method-assign]

    def _before(self) -> None:
        """Put the clock around the engine's function as soon as Keras has made it."""
        model, now = self.session.model, time.perf_counter()
        if not isinstance(model.train_function, _Timed):
            model.train_function = _Timed(model.train_function, self)
        self._begun = now

    def ran(self, waited: float | None, elapsed: float) -> None:
        """Note one call of the engine's function; `waited` seconds of it were for data.

        None says that the data was there before the call: Keras fetched it between the steps.
        """
        data = self._begun - self._ended if waited is None else waited
        self._now = Execution(0, data, elapsed - (waited or 0.0))

    def _after(self, seconds: float) -> None:
        now, execution = time.perf_counter(), self._now
        execution.steps, execution.callbacks = self.session.advanced, seconds
        execution.whole = now - self._ended if self._ended else 0.0
        self._ended, self.count = now, self.count + 1
        if self.count <= _WARM_UP:
            return
        if not self._trace_ends:
            self.executions.append(execution)
            left = self.session.plan.total_steps - self.session.step
            if len(self.executions) == _TIMED or left <= _TRACED * self.session.settings.steps_per_execution:
                self.trace.enter_context(backend.traced(str(self.folder)))
                self._trace_ends = self.count + _TRACED
        elif self.count == self._trace_ends:
            self.trace.close()

    @property
    def folder(self) -> Path:
        """Where the trace goes."""
        return self.session.run.path / "profile"

    def finish(self) -> None:
        """Write RUN/profile.json: milliseconds per step and of its parts, operations, and their share of the peak."""
        self.trace.close()
        if not self.executions:
            tell(f"no profile: the training stopped after {self.count} of the {_WARM_UP + 1} executions it needs.")
            return
        model = self.session.model
        document = table_of(
            self.executions, optimizer_seconds(model), backend.step_flops(model, _single(self.batch)), matmul_peak()
        )
        document["trace"] = str(self.folder)
        write_atomic(self.session.run.path / "profile.json", json.dumps(document, indent=1).encode())


def table_of(executions: Sequence[Execution], optimizer: float, flops: float, peak: float) -> dict[str, Any]:
    """Return where the time of a step goes, in milliseconds, and the share of the peak that it reaches.

    Args:
        executions: those that were timed; of each part the median over them is taken, per step.
        optimizer: seconds of the optimizer alone in a step, which are a part of `compute`.
        flops: operations of a step.
        peak: operations per second of the device.
    """
    step = _per_step(executions, "whole")
    parts = {name: _per_step(executions, name) for name in ("data", "compute", "callbacks")}
    optimizer = min(optimizer, parts["compute"])
    return {
        "steps": sum(execution.steps for execution in executions),
        "step_ms": 1e3 * step,
        "data_ms": 1e3 * parts["data"],
        "forward_backward_ms": 1e3 * (parts["compute"] - optimizer),
        "optimizer_ms": 1e3 * optimizer,
        "callbacks_ms": 1e3 * parts["callbacks"],
        "loop_ms": 1e3 * max(0.0, step - sum(parts.values())),
        "flops_per_step": flops,
        "peak_flops": peak,
        "mfu": flops / step / peak,
    }


def check_length(steps: int, steps_per_execution: int) -> None:
    """Refuse to profile what is left of a training when it is too short to time any step.

    Raises:
        ConfigError: it has fewer steps than a profile needs.
    """
    least = (_WARM_UP + _TRACED + 1) * steps_per_execution
    if steps < least:
        raise ConfigError(f"A profile needs {least} steps, {steps} are left.", mend="Train longer (--steps).")


def profile_of(session: Session, training: TrainingCallbacks) -> Profile:
    """Return a profile that watches a training."""
    profile = Profile(session)
    profile.watch(training)
    return profile


class _Timed:
    """The engine's function of one execution, timed and waited for."""

    def __init__(self, function: Callable[..., Any], profile: Profile) -> None:
        self.function, self.profile = function, profile

    def __call__(self, *args: Any) -> Any:
        *state, source = args
        fetched = _Fetched(source) if isinstance(source, Iterator) else None
        began = time.perf_counter()
        result = self.function(*state, source if fetched is None else fetched)
        logs = result if isinstance(result, dict) else result[0]
        float(next(iter(logs.values())))  # waits for the device
        self.profile.ran(None if fetched is None else fetched.seconds, time.perf_counter() - began)
        self.profile.batch = source[0] if fetched is None else fetched.last
        return result


class _Fetched:
    """An iterator that counts the seconds spent waiting for it and keeps what it gave last."""

    def __init__(self, source: Iterator[Any]) -> None:
        self.source, self.seconds, self.last = source, 0.0, None

    def __iter__(self) -> _Fetched:
        return self

    def __next__(self) -> Any:
        began = time.perf_counter()
        self.last = next(self.source)
        self.seconds += time.perf_counter() - began
        return self.last


def _single(data: Any) -> Any:
    """Return the batch of one step from the data of an execution."""
    stacked = steps_of(data)
    return data if stacked is None else keras.tree.map_structure(lambda column: column[0], stacked)


def _per_step(executions: Sequence[Execution], name: str) -> float:
    return statistics.median(getattr(execution, name) / execution.steps for execution in executions)


class _OptimizerOnly(GenerativeModel):
    """Copies of a model's variables under its optimizers, with losses whose gradients cost almost nothing."""

    def __init__(self, optimizer: PhaseOptimizers, phases: list[Phase]) -> None:
        super().__init__(DataSpec((1,), kind="signal", value_range=None))
        self.asked = {phase.name: phase for phase in phases}
        self.groups = {
            name: [
                self.add_weight(shape=v.shape, dtype=v.dtype, initializer="zeros", name=f"{name}_{i}")
                for i, v in enumerate(variables)
            ]
            for name, variables in optimizer.phase_variables.items()
        }

    def phases(self) -> list[Phase]:
        """As many updates of each group as the model makes."""
        return [
            Phase(name, group, self._loss_of(group), repeats=self.asked[name].repeats, every=self.asked[name].every)
            for name, group in self.groups.items()
        ]

    def _loss_of(self, group: list[Any]) -> Callable[[dict[str, Any]], tuple[Any, dict[str, Any], Any]]:
        return lambda batch: (sum(ops.sum(ops.cast(v, "float32")) for v in group), {}, 1.0)


def optimizer_seconds(model: GenerativeModel) -> float:
    """Return the seconds that the optimizers and the moving average take of one step, measured on copies."""
    optimizer: Any = model.optimizer
    only = _OptimizerOnly(optimizer, model.training_phases())
    copies = {name: type(o).from_config(o.get_config()) for name, o in optimizer.phases.items()}
    only.compile(copies, ema=optimizer.ema)
    slices = max(phase.repeats for phase in model.training_phases())
    timed: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            float(next(iter(logs.values())))
            timed.append(time.perf_counter() - self.began)

    batch = {"x": np.zeros((slices, 1), "float32")}
    stream = ((batch,) for _ in range(_WARM_UP + _TIMED + 4))
    only.fit(stream, steps_per_epoch=_WARM_UP + _TIMED, callbacks=[Clock()], shuffle=False, verbose=0)
    return statistics.median(timed[_WARM_UP:])


def matmul_peak() -> float:
    """Return the operations per second of a large matrix product in the policy's type, the best of several."""
    dtype, n, best = keras.config.dtype_policy().compute_dtype, 512, 0.0
    while True:
        a = ops.ones((n, n), dtype=dtype)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            float(ops.cast(ops.matmul(a, a)[0, 0], "float32"))  # waits for the device
            times.append(time.perf_counter() - began)
        best = max(best, 2 * n**3 / min(times))
        if min(times) > 5e-3 or n >= 16384:
            return best
        n *= 2
