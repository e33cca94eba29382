"""Trace torch code into a flat graph of ATen operations, and refuse what such a graph would freeze in silence."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import torch
from torch.fx.experimental import proxy_tensor
from torch.overrides import TorchFunctionMode

__all__ = ["REFUSALS", "cause_of", "leaves_of", "signature_of", "traced"]

#: What tracing raises where it cannot trace.
REFUSALS = (RuntimeError, TypeError, ValueError, NotImplementedError)


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


def signature_of(flat: Sequence[torch.Tensor]) -> tuple[Any, ...]:
    """Return what a trace holds for: shapes, types and devices."""
    return tuple((x.shape, x.dtype, x.device) for x in flat)


def traced(fn: Callable[..., Any], flat: Sequence[torch.Tensor]) -> torch.fx.GraphModule:
    """Trace `fn(*flat)`, running it once."""
    with _no_baked_scalars(), _NoNumPy(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return proxy_tensor.make_fx(fn, tracing_mode="real", record_module_stack=False)(*flat)


def cause_of(error: Exception) -> str:
    """Return an error's class and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def leaves_of(data: Any) -> list[torch.Tensor]:
    """Return the tensors of a pytree in order."""
    return [keras.ops.convert_to_tensor(leaf) for leaf in keras.tree.flatten(data)]
