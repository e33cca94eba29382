"""What a training would cost: parameters, optimizer state, memory and arithmetic, without a step taken.

Arithmetic is counted from the shapes that layers see when the losses run once, so it is the same on every backend.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from genloom.model.promises import check_loss
from genloom.training.assembly import check_rules
from genloom.training.configuration import Job
from genloom.training.feeding import Feed
from genloom.training.optimizing import compile_model
from genloom.training.plan import Plan

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["describe"]

_PROBE_ROWS = 2  # rows the losses run on; counts grow with the batch
_BACKWARD = 2.0  # the backward pass multiplies by weights and by activations: twice the forward pass
_BYTES = 4  # of a float32


def describe(job: Job) -> dict[str, Any]:
    """Build the model of a training and describe it; nothing is written.

    Returns:
        model, data, fingerprint, shape (of a sample), parameters (by network, and "total"), optimizer_values,
        ema_values, steps_per_epoch, steps, batch_rows (rows of one step), flops_per_step and memory_bytes. The last
        two are estimates from the shapes of dense, convolution and attention layers; elementwise work, buffers of
        the engine and second derivatives are not in them.
    """
    model = job.start(measured=False)
    feed = Feed(job.dataset, model, job.settings, job.seed)
    plan = Plan.of(job.settings, feed.steps_per_epoch)
    compile_model(model, job.settings, plan.total_steps)
    check_rules(job.settings, model, feed)
    forward, activations = _probe(model, feed)
    rows = job.settings.batch_size * feed.repeats
    parameters = _parameters(model)
    optimizer = model.optimizer
    slots = sum(math.prod(v.shape) for o in optimizer.phases.values() for v in o.variables)
    ema = sum(math.prod(v.shape) for v in optimizer.shadows)
    largest = max((sum(math.prod(v.shape) for v in group) for group in optimizer.phase_variables.values()), default=0)
    values = parameters["total"] + slots + ema + largest  # the last term: gradients of one phase
    held = activations * job.settings.batch_size / (job.settings.accumulate or 1)
    return {
        "model": job.model_id,
        "data": job.dataset.address,
        "fingerprint": job.dataset.fingerprint,
        "shape": list(job.dataset.spec.shape),
        "parameters": parameters,
        "optimizer_values": slots,
        "ema_values": ema,
        "steps_per_epoch": feed.steps_per_epoch,
        "steps": plan.total_steps,
        "batch_rows": rows,
        "flops_per_step": int(forward * (1.0 + _BACKWARD) * job.settings.batch_size),
        "memory_bytes": int(_BYTES * (values + held)),
    }


def _parameters(model: GenerativeModel) -> dict[str, int]:
    """Return the number of weights of each network by its attribute, and of all."""
    from genloom.model.state import weights_by_name

    counts: dict[str, int] = {}
    for name, variable in weights_by_name(model).items():
        network = name.removeprefix("model/").partition("/")[0]
        counts[network] = counts.get(network, 0) + math.prod(variable.shape)
    return {**counts, "total": sum(counts.values())}


def _probe(model: GenerativeModel, feed: Feed) -> tuple[float, float]:
    """Return multiply-adds ×2 per sample of one forward pass of all phases, and the largest phase's activations."""
    import keras
    import numpy as np
    from keras import ops

    batch = {name: ops.convert_to_tensor(array) for name, array in feed.train.take(np.arange(_PROBE_ROWS)).items()}
    flops, largest = 0.0, 0.0
    for phase in model.training_phases():
        # In a stateless scope batch statistics and seeds are read, and what is written to them is dropped.
        with _counting(model) as counts, keras.StatelessScope():
            check_loss(phase, phase.loss(batch))
        flops += counts["flops"] * phase.repeats / phase.every / _PROBE_ROWS
        largest = max(largest, counts["values"] / _PROBE_ROWS)
    return flops, largest


@contextlib.contextmanager
def _counting(model: GenerativeModel) -> Iterator[dict[str, float]]:
    """Count the arithmetic and the outputs of every layer that is called within the block."""
    from genloom.model.naming import own_layers

    counts = {"flops": 0.0, "values": 0.0}
    layers = [layer for _, layer in own_layers(model) if not list(layer._layers)]
    for layer in layers:
        object.__setattr__(layer, "call", _counted(layer, layer.call, counts))
    try:
        yield counts
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")


def _counted(layer: Any, call: Any, counts: dict[str, float]) -> Any:
    import functools

    @functools.wraps(call)
    def counted(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        if args and hasattr(args[0], "shape") and hasattr(result, "shape"):
            counts["flops"] += layer_flops(layer, tuple(args[0].shape), tuple(result.shape))
            counts["values"] += math.prod(result.shape)
        return result

    return counted


def layer_flops(layer: Any, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> float:
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
    made = weights / max(1.0, math.prod(outputs) / _positions(inputs, outputs, kernel.shape))
    return 2.0 * math.prod(outputs) * made


def _positions(inputs: tuple[int, ...], outputs: tuple[int, ...], kernel: Any) -> float:
    """Number of places that share the kernel: the leading axes that input and output have in common."""
    common = 1
    for a, b in zip(inputs[:-1], outputs[:-1], strict=False):
        if a != b:
            break
        common *= a
    return float(common)
