"""Capture torch code once into a flat graph of ATen operations and replay it without Python layers in between.

`make_fx` traces second-order gradients and in-place updates, which `torch.compile` refuses. Variables stay outside
the graph: it reads and writes their storage, so checkpoints and callbacks see every step.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import torch
from torch.fx.experimental import proxy_tensor
from torch.overrides import TorchFunctionMode

from genloom.backend.torch_graph import compiled_by_inductor, replayed

__all__ = ["Captured", "LoopCache"]

_TOLERANCE = 1e-5  # Relative; replay and eager run the same kernels, so real differences are far larger.
# Inductor sums in another order, and Adam's first step magnifies that where a gradient is near zero; yet what it
# forgets or freezes differs by a whole update.
_OF_AN_UPDATE = 0.1


@contextlib.contextmanager
def _no_baked_scalars() -> Iterator[None]:
    """Keep one-element tensors (step counters, rates) as reads, not as constants frozen at capture."""
    limit = proxy_tensor.CONSTANT_NUMEL_LIMIT
    proxy_tensor.CONSTANT_NUMEL_LIMIT = 0
    try:
        yield
    finally:
        proxy_tensor.CONSTANT_NUMEL_LIMIT = limit


class _NoNumPy(TorchFunctionMode):
    """Refuse to turn tensors into NumPy arrays, whose values a captured graph would freeze in silence."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.numpy, torch.Tensor.__array__, torch.Tensor.tolist):
            raise TypeError("a tensor is turned into a NumPy array: use keras.ops on tensors alone")
        return func(*args, **(kwargs or {}))


def _signature(flat: Sequence[torch.Tensor]) -> tuple[Any, ...]:
    return tuple((x.shape, x.dtype, x.device) for x in flat)


def _traced(fn: Callable[..., Any], flat: Sequence[torch.Tensor]) -> torch.fx.GraphModule:
    """Trace `fn(*flat)`, running it once."""
    with _no_baked_scalars(), _NoNumPy(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return proxy_tensor.make_fx(fn, tracing_mode="real", record_module_stack=False)(*flat)


_REFUSALS = (RuntimeError, TypeError, ValueError, NotImplementedError)


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"


def _leaves(data: Any) -> list[torch.Tensor]:
    return [keras.ops.convert_to_tensor(leaf) for leaf in keras.tree.flatten(data)]


class Captured:
    """A training step that is captured once per signature of its batch and then replayed.

    The first call of each signature runs the step eagerly, captures it, replays it from the same state and compares;
    a step that cannot be captured, or whose replay differs, runs eagerly from then on and says so once.

    Args:
        fn: `fn(batch) -> dict of tensors`; reads and writes the variables of `state()`.
        state: returns every Keras variable that `fn` may write.
        seed: called before each run to seed torch's default generator.
        enabled: False runs eagerly always.
        inductor: compile the captured graph with Inductor; one that it cannot compile is replayed as it is.
    """

    def __init__(
        self,
        fn: Callable[[Any], dict[str, Any]],
        state: Callable[[], list[Any]],
        seed: Callable[[], None],
        enabled: bool = True,
        inductor: bool = False,
    ) -> None:
        self.fn, self.state, self.seed, self.enabled, self.inductor = fn, state, seed, enabled, inductor
        self.graphs: dict[Any, Any] = {}
        self.captures = 0
        self.fallback: str | None = None

    def __call__(self, data: Any) -> dict[str, Any]:
        """Run one step on a batch pytree."""
        generator = torch.default_generator.get_state()
        try:
            return self._run(data)
        finally:
            torch.default_generator.set_state(generator)

    def _run(self, data: Any) -> dict[str, Any]:
        flat = _leaves(data)
        if not self.enabled:
            return self._eager(data, flat)
        key = _signature(flat)
        if key not in self.graphs:
            return self._capture(key, data, flat)
        replay, names = self.graphs[key]
        self.seed()
        with torch.inference_mode():
            return dict(zip(names, replay(*flat), strict=True))

    def _eager(self, data: Any, flat: Sequence[torch.Tensor]) -> dict[str, Any]:
        self.seed()
        return self.fn(keras.tree.pack_sequence_as(data, list(flat)))

    def _values(self) -> list[torch.Tensor]:
        return [variable.value.detach() for variable in self.state()]

    def _restore(self, kept: Sequence[torch.Tensor]) -> None:
        for value, old in zip(self._values(), kept, strict=True):
            value.copy_(old)

    def _capture(self, key: Any, data: Any, flat: list[torch.Tensor]) -> dict[str, Any]:
        before = [value.clone() for value in self._values()]
        expected = self._eager(data, flat)
        after = [value.clone() for value in self._values()]
        names = list(expected)
        replay, result, reason = None, expected, None
        try:
            self._restore(before)
            self.seed()
            module = _traced(
                lambda *leaves: tuple(self.fn(keras.tree.pack_sequence_as(data, list(leaves))).values()), flat
            )
            if self.inductor:
                replay, result = self._compiled(module, before, after, flat)
            if replay is None:
                replay = replayed(module)
                result, reason = self._tried(replay, before, after, flat)
        except _REFUSALS as error:
            reason = _cause(error)
        if reason is None:
            self.captures += 1
            self.graphs[key] = (replay, names)
            return dict(zip(names, result, strict=True))
        self.enabled, self.fallback = False, reason
        self._restore(after)
        warnings.warn(f"This training step runs eagerly on torch, more slowly: {reason}", stacklevel=2)
        return expected

    def _tried(
        self, replay: Any, before: Any, after: Any, flat: Sequence[torch.Tensor], share: float = 0.0
    ) -> tuple[Any, str | None]:
        """Replay from the state `before`; return its outputs, and in what it differs from the eager state `after`."""
        self._restore(before)
        self.seed()
        with torch.inference_mode():
            result = replay(*flat)
        return result, self._difference(before, after, share)

    def _compiled(
        self, module: torch.fx.GraphModule, before: Any, after: Any, flat: Sequence[torch.Tensor]
    ) -> tuple[Any, Any]:
        """Return Inductor's form of the graph and its outputs; (None, None), said once, when it has no right one."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                replay = compiled_by_inductor(module)
                result, reason = self._tried(replay, before, after, flat, _OF_AN_UPDATE)
        except Exception as error:  # whatever a compiler, or the lack of one, may raise
            reason = _cause(getattr(error, "inner_exception", error))
        if reason is None:
            return replay, result
        self.inductor = False
        warnings.warn(f"This training step is replayed without Inductor: {reason}", stacklevel=2)
        return None, None

    def _difference(self, before: Any, after: Any, share: float) -> str | None:
        """Name the first variable that a replay leaves off its eager value by more than a share of its update."""
        for variable, value, old, new in zip(self.state(), self._values(), before, after, strict=True):
            if new.numel():
                allowed = _TOLERANCE * new.double().abs().max().clamp(min=1e-3)
                allowed += share * (new.double() - old.double()).abs().max()
                if (value.double() - new.double()).abs().max() > allowed:
                    return f"its captured form gives another value of {variable.path}"
        return None


def _closure_tensors(fn: Callable[..., Any]) -> list[torch.Tensor]:
    """Tensors that a step function closes over, directly or in containers."""
    found: list[torch.Tensor] = []

    def visit(value: Any, depth: int) -> None:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)) and depth:
            for item in value:
                visit(item, depth - 1)
        elif isinstance(value, dict) and depth:
            for item in value.values():
                visit(item, depth - 1)
        elif callable(value) and getattr(value, "__closure__", None) and depth:
            for cell in value.__closure__:
                visit(cell.cell_contents, depth - 1)

    visit(fn, 4)
    return found


class LoopCache:
    """The captured steps of the loops inside one compiled function, found again by their order and signature.

    A step may close over constants; when a tensor it closes over has changed since the capture, it is captured anew.
    """

    def __init__(self) -> None:
        self.steps: dict[Any, tuple[Any, list[torch.Tensor]]] = {}
        self.calls: int | None = None
        self.fallback: str | None = None

    def restart(self) -> LoopCache:
        """Begin a new call of the compiled function."""
        self.calls = 0
        return self

    def run(
        self, step: Callable[[Any, Any], Any], n: Any, state: Any, until: Callable[[Any], Any] | None = None
    ) -> Any:
        """Apply the step n times, or until the state says so; outside a compiled function, plainly."""
        flat = [x.contiguous() for x in _leaves(state)]
        module = None
        if self.calls is not None and self.fallback is None and not torch.is_grad_enabled():
            module = self._captured(step, state, flat)
        if module is None:
            for i in range(int(n)):
                if until is not None and until(state):
                    break
                state = step(torch.tensor(i, dtype=torch.int32), state)
            return state
        for i in range(int(n)):
            if until is not None and until(keras.tree.pack_sequence_as(state, list(flat))):
                break
            flat = module(torch.tensor(i, dtype=torch.int32, device=flat[0].device), *flat)
        return keras.tree.pack_sequence_as(state, list(flat))

    def _captured(self, step: Callable[[Any, Any], Any], state: Any, flat: list[torch.Tensor]) -> Any:
        key = (self.calls, _signature(flat))
        self.calls = (self.calls or 0) + 1
        held = _closure_tensors(step)
        if key in self.steps:
            module, known = self.steps[key]
            same = len(held) == len(known) and all(
                a is b or (a.shape == b.shape and torch.equal(a, b)) for a, b in zip(held, known, strict=True)
            )
            if same:
                return module

        def flat_step(i: Any, *leaves: Any) -> tuple[Any, ...]:
            # The graph was traced for one layout in memory, which what it returns must have in turn.
            return tuple(x.contiguous() for x in _leaves(step(i, keras.tree.pack_sequence_as(state, list(leaves)))))

        # Clones, so that a state that is also a closed-over constant is not taken for the same input.
        inputs = [torch.tensor(0, dtype=torch.int32, device=flat[0].device), *(x.clone() for x in flat)]
        try:
            module = replayed(_traced(flat_step, inputs))
        except _REFUSALS as error:
            self.fallback = _cause(error)
            warnings.warn(f"This sampler runs eagerly on torch, more slowly: {self.fallback}", stacklevel=2)
            return None
        self.steps[key] = (module, held)
        return module
