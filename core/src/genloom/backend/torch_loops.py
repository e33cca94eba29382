"""Capture one step of a sampler's loop and replay it: the unrolled loop would take minutes to trace."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import torch

from genloom.backend.torch_graph import replayed
from genloom.backend.torch_tracing import REFUSALS, cause_of, leaves_of, signature_of, traced

__all__ = ["LoopCache"]


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
        flat = [x.contiguous() for x in leaves_of(state)]
        module = None
        if self.calls is not None and self.fallback is None and not torch.is_grad_enabled():
            module = self._captured(step, state, flat)
        if module is None:
            for i in range(int(n)):
                if until is not None and until(state):
                    break
                state = step(torch.tensor(i, dtype=torch.int32), state)
            return state
        # Made at once: a number copied to a device by itself makes the host wait for all before it.
        for i in torch.arange(int(n), dtype=torch.int32, device=flat[0].device):
            if until is not None and until(keras.tree.pack_sequence_as(state, list(flat))):
                break
            flat = module(i, *flat)
        return keras.tree.pack_sequence_as(state, list(flat))

    def _captured(self, step: Callable[[Any, Any], Any], state: Any, flat: list[torch.Tensor]) -> Any:
        key = (self.calls, signature_of(flat))
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
            return tuple(x.contiguous() for x in leaves_of(step(i, keras.tree.pack_sequence_as(state, list(leaves)))))

        # Clones, so that a state that is also a closed-over constant is not taken for the same input.
        inputs = [torch.tensor(0, dtype=torch.int32, device=flat[0].device), *(x.clone() for x in flat)]
        try:
            module = replayed(traced(flat_step, inputs))
        except REFUSALS as error:
            self.fallback = cause_of(error)
            warnings.warn(f"This sampler runs eagerly on torch, more slowly: {self.fallback}", stacklevel=2)
            return None
        self.steps[key] = (module, held)
        return module
