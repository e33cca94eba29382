"""Our arm of the training steps: what Keras's `fit` calls, one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from ours.models import build
from tasks import Task
from windows import Windows, step_by_step

from genloom import backend
from genloom.model.naming import variable_names


def run(task: Task, weights: Path, windows: Windows) -> None:
    """Run the arm."""
    step_by_step(start, task, weights, windows, running_means=True)


def start(task: Task, weights: Path) -> tuple[Callable[[dict[str, Any]], None], Callable[[], dict[str, float]]]:
    """Write the first weights to `weights`; return step(batch), as `fit` runs it, and a function that reads the losses.

    The losses are Keras's: means over the steps so far. Reading them waits for the device.
    """
    model = build(task)
    names = variable_names(model)
    if not weights.exists():  # this is called again, while the other arm reads them
        np.savez(weights, **{name: ops.convert_to_numpy(v.value) for name, v in names.items() if v.trainable})
    model.make_train_function()
    carry: dict[str, Any] = {"logs": {}}

    def jax_step(batch: dict[str, Any]) -> None:
        carry["logs"], carry["state"] = model.train_function(carry["state"], iter([(batch,)]))

    def step(batch: dict[str, Any]) -> None:
        # TensorFlow's train function takes an iterator, torch's the list of batches of one execution.
        one = [(batch,)]
        carry["logs"] = model.train_function(one if backend.name() == "torch" else iter(one))

    def losses() -> dict[str, float]:
        return {name: float(value) for name, value in carry["logs"].items()}

    if backend.name() != "jax":
        return step, losses
    groups = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
    carry["state"] = model._get_jax_state(**dict.fromkeys(groups, True))
    return jax_step, losses
