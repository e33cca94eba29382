"""The arithmetic of a training step, counted in the two ways that two questions need.

`estimated` answers before a training: the losses run once on a few rows, layers count by the shapes they see, and the
backward pass is taken as twice the forward one. The number is the same on every engine; `--dry-run` shows it.
`backend.step_flops` answers about the step that an engine made: each product in it is counted, those of attention too,
and none that the engine leaves out, such as the gradient with respect to the data; XLA adds elementwise work.
`--profile` divides it by the time of a step. Of dense layers the first is larger by one forward pass of their first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from keras import ops

from genloom.model import GenerativeModel
from genloom.model.naming import own_layers
from genloom.model.promises import check_loss

__all__ = ["Cost", "estimated"]

_BACKWARD = 2.0  # the backward pass multiplies by weights and by activations: twice the forward pass


@dataclasses.dataclass
class Cost:
    """What one sample costs.

    Attributes:
        flops: twice the multiply-adds of layers with kernels in one training step.
        activations: values that layers put out in the phase with most of them, held for its backward pass.
    """

    flops: float = 0.0
    activations: float = 0.0


def estimated(model: GenerativeModel, batch: Mapping[str, Any]) -> Cost:
    """Return the cost of a sample in all phases of a compiled model; no weight, statistic or seed moves.

    Args:
        model: whose losses run once, forwards.
        batch: a few samples as training has them; counts are means over its rows.
    """
    rows = len(batch["x"])
    tensors = {name: ops.convert_to_tensor(array) for name, array in batch.items()}
    cost = Cost()
    for phase in model.training_phases():
        # In a stateless scope batch statistics and seeds are read, and what is written to them is dropped.
        with _counting(model) as seen, keras.StatelessScope():
            check_loss(phase, phase.loss(tensors))
        cost.flops += seen.flops * (1.0 + _BACKWARD) * phase.repeats / phase.every / rows
        cost.activations = max(cost.activations, seen.activations / rows)
    return cost


@contextlib.contextmanager
def _counting(model: GenerativeModel) -> Iterator[Cost]:
    """Count the arithmetic and the outputs of every layer that is called within the block."""
    seen = Cost()
    layers = [layer for _, layer in own_layers(model) if not list(layer._layers)]
    for layer in layers:
        object.__setattr__(layer, "call", _counted(layer, layer.call, seen))
    try:
        yield seen
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")


def _counted(layer: Any, call: Callable[..., Any], seen: Cost) -> Callable[..., Any]:
    @functools.wraps(call)
    def counted(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        if args and ops.is_tensor(args[0]) and ops.is_tensor(result):
            seen.flops += _flops(layer, tuple(args[0].shape), tuple(result.shape))
            seen.activations += math.prod(result.shape)
        return result

    return counted


def _flops(layer: Any, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> float:
    """Return twice the multiply-adds of one call of a layer.

    Args:
        layer: dense, einsum-dense, convolution (also transposed) layers count by their kernel; others count 0.
        inputs: shape of the first input, batch axis included.
        outputs: shape of the output.
    """
    kernel = getattr(layer, "kernel", None)
    if kernel is None or not hasattr(kernel, "shape"):
        return 0.0
    weights, kind = math.prod(kernel.shape), type(layer).__name__
    if "Conv" in kind:
        places = inputs if "Transpose" in kind else outputs
        grid = places[1:-1] if getattr(layer, "data_format", "channels_last") == "channels_last" else places[2:]
        return 2.0 * weights * places[0] * math.prod(grid)
    # Dense and einsum-dense: every weight meets every position that the kernel does not contract or make.
    made = weights / max(1.0, math.prod(outputs) / _positions(inputs, outputs))
    return 2.0 * math.prod(outputs) * made


def _positions(inputs: tuple[int, ...], outputs: tuple[int, ...]) -> float:
    """Number of places that share the kernel: the leading axes that input and output have in common."""
    common = 1
    for a, b in zip(inputs[:-1], outputs[:-1], strict=False):
        if a != b:
            break
        common *= a
    return float(common)
