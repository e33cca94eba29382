"""The training step of a model on JAX: inside one stateless scope, so that it is one jitted function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from keras import StatelessScope

from genloom.backend.executions import next_stack, steps_of
from genloom.backend.interrupts import undisturbed

__all__ = ["StepMixin"]


class _Newest:
    """The values of the last step that did not fail: Keras empties the variables while steps run.

    An object of its own, for Keras takes variables in a layer's lists for the layer's.
    """

    def __init__(self) -> None:
        self.variables: Sequence[Sequence[Any]] = ()
        self.values: Sequence[Sequence[Any]] = ()

    def refill(self) -> None:
        """Put the values into variables that have none, or one that was given away."""
        for variables, values in zip(self.variables, self.values, strict=True):
            for variable, value in zip(variables, values, strict=True):
                if variable._value is None or variable._value.is_deleted():
                    variable.assign(value)


class StepMixin:
    """Run a model's imperative update inside one stateless scope, so that the whole step is one jitted function."""

    eager_because: str | None = None  # the whole training step is always compiled here

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._newest = _Newest()

    def _training_groups(self) -> list[list[Any]]:
        """The variables of a training step, in Keras's order."""
        *weights, metrics = self._testing_groups()
        return [*weights, self.optimizer.variables, metrics]  # type: ignore[attr-defined]

    def _testing_groups(self) -> list[list[Any]]:
        """The variables of a step of `evaluate`."""
        return [self.trainable_variables, self.non_trainable_variables, self.metrics_variables]  # type: ignore[attr-defined]

    def _stateless(self, groups: list[list[Any]], state: Sequence[Any], fn: Callable[[], Any]) -> tuple[Any, Any]:
        scope = StatelessScope()
        for variables, values in zip(groups, state, strict=True):
            scope.state_mapping.update({id(v): x for v, x in zip(variables, values, strict=True)})
        with scope:
            result = fn()
        return result, tuple([scope.state_mapping[id(v)] for v in variables] for variables in groups)

    def train_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        """One update of every phase, or those of a stack of batches; called by Keras's `fit` under jit."""
        groups = self._training_groups()

        def update(batch: Any) -> Any:
            self.optimizer.follow_schedules()  # type: ignore[attr-defined]
            return self.update_batch(batch)  # type: ignore[attr-defined]

        def step(state: Any, batch: Any) -> tuple[Any, dict[str, Any]]:
            logs, state = self._stateless(groups, state, lambda: update(batch))
            return state, logs

        stacked = steps_of(data)
        if stacked is None:
            state, logs = step(state, data)
            return logs, state
        state, logs = jax.lax.scan(step, tuple(state), stacked)
        return {name: values[-1] for name, values in logs.items()}, state

    def make_train_function(self, force: bool = False) -> None:
        """Compile the step; several steps of one execution run in one compiled loop, where Keras's own is Python's."""
        if self.train_function is not None and not force:  # type: ignore[has-type]
            return
        steps, self.steps_per_execution = self.steps_per_execution, 1  # type: ignore[has-type]
        super().make_train_function(force=True)  # type: ignore[misc]
        self.steps_per_execution = steps

        def fetched(iterator: Any) -> Any:
            return iter([next(iterator) if steps == 1 else next_stack(iterator, steps)])

        self.train_function = self._holding(self.train_function, self._training_groups, fetched)  # type: ignore[has-type]

    def make_test_function(self, force: bool = False) -> None:
        """Compile the step of `evaluate`."""
        if self.test_function is None or force:  # type: ignore[has-type]
            super().make_test_function(force=True)  # type: ignore[misc]
            self.test_function = self._holding(self.test_function, self._testing_groups)  # type: ignore[has-type]

    def _holding(
        self,
        execution: Callable[[Any, Any], Any],
        groups: Callable[[], Any],
        fetched: Callable[[Any], Any] = iter,
    ) -> Callable[[Any, Any], Any]:
        def held(state: Any, iterator: Any) -> Any:
            self._newest.variables, self._newest.values = groups(), state
            batches = fetched(iterator)
            with undisturbed():  # the old state is given away, and an interrupt would lose the new one
                logs, self._newest.values = execution(state, batches)
            return logs, self._newest.values

        return held

    @contextlib.contextmanager
    def _refilled(self) -> Iterator[None]:
        """Give the variables that a failed step leaves empty the newest values there are."""
        try:
            yield
        finally:
            self._newest.refill()
            self._newest = _Newest()
            self._jax_state_synced = True  # Keras would write the values of a failed evaluation over what comes next

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's `fit`; where it fails, the variables have the values of the last step that did not."""
        with self._refilled():
            return super().fit(*args, **kwargs)  # type: ignore[misc]

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's `evaluate`; where it fails, the variables have their values."""
        with self._refilled():
            return super().evaluate(*args, **kwargs)  # type: ignore[misc]

    def test_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        """Held-out losses of one batch; called by Keras's `evaluate` under jit."""
        return self._stateless(self._testing_groups(), state, lambda: self.validate_batch(data))  # type: ignore[attr-defined]

    def sync_state(self) -> None:
        """Give the variables back the values that a running `fit` holds, so that a callback may read them."""
        self.jax_state_sync()  # type: ignore[attr-defined]
