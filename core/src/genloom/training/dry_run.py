"""What a training would cost: parameters, optimizer state, memory and arithmetic, without a step taken."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.profiling.cost import estimated
from genloom.runs.parts import Part
from genloom.training.assembly import check_rules
from genloom.training.configuration import Job
from genloom.training.feeding import Feed
from genloom.training.optimizing import compile_model
from genloom.training.plan import Plan

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["describe"]

_PROBE_ROWS = 2  # rows the losses run on; counts grow with the batch
_BYTES = 4  # of a float32


def describe(job: Job) -> dict[str, Any]:
    """Build the model of a training and describe it; nothing is written.

    Returns:
        model, parts (trained models that it is made of), data, fingerprint, shape (of a sample), parameters (by
        network, and "total"), optimizer_values, ema_values, steps_per_epoch, steps, batch_rows (rows of one step),
        flops_per_step and memory_bytes. The last two are estimates from the shapes of dense, convolution and
        attention layers; elementwise work, buffers of the engine and second derivatives are not in them.
    """
    model = job.start(measured=False)
    feed = Feed(job.dataset, model, job.settings, job.seed)
    plan = Plan.of(job.settings, feed.steps_per_epoch)
    compile_model(model, job.settings, plan.total_steps)
    check_rules(job.settings, model, feed)
    cost = estimated(model, feed.train.take(np.arange(_PROBE_ROWS)))
    rows = job.settings.batch_size * feed.repeats
    parameters = _parameters(model)
    optimizer = model.optimizer
    slots = sum(math.prod(v.shape) for o in optimizer.phases.values() for v in o.variables)
    ema = sum(math.prod(v.shape) for v in optimizer.shadows)
    largest = max((sum(math.prod(v.shape) for v in group) for group in optimizer.phase_variables.values()), default=0)
    values = parameters["total"] + slots + ema + largest  # the last term: gradients of one phase
    held = cost.activations * job.settings.batch_size / (job.settings.accumulate or 1)
    return {
        "model": job.model_id,
        **({"parts": {name: _stated(part) for name, part in job.parts.items()}} if job.parts else {}),
        "data": job.dataset.address,
        "fingerprint": job.dataset.fingerprint,
        "shape": list(job.dataset.spec.shape),
        "parameters": parameters,
        "optimizer_values": slots,
        "ema_values": ema,
        "steps_per_epoch": feed.steps_per_epoch,
        "steps": plan.total_steps,
        "batch_rows": rows,
        "flops_per_step": int(cost.flops * job.settings.batch_size),
        "memory_bytes": int(_BYTES * (values + held)),
    }


def _stated(part: Part) -> dict[str, Any]:
    return {"model": part.id, "run": part.run, "step": part.step, "sha256": part.sha256}


def _parameters(model: GenerativeModel) -> dict[str, int]:
    """Return the number of weights of each network by its attribute, and of all."""
    from genloom.model.state import weights_by_name

    counts: dict[str, int] = {}
    for name, variable in weights_by_name(model).items():
        network = name.removeprefix("model/").partition("/")[0]
        counts[network] = counts.get(network, 0) + math.prod(variable.shape)
    return {**counts, "total": sum(counts.values())}
