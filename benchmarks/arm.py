"""One arm in its own process: shows its first losses, compiles, then times as many steps as it is told on stdin.

Run by `run.py`. Every line it answers with is JSON on stdout; the engine has stderr to itself.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tasks import Task, task

CHECKED, WARM_UP = 5, 3


def first_losses(start: Any, what: Task, weights: Path, running_means: bool) -> dict[str, list[float]]:
    """Return the losses of the first steps on fixed noise, name by name."""
    step, losses = start(what, weights)
    batches = what.batches(fixed_noise=True)
    series: dict[str, list[float]] = {}
    for _ in range(CHECKED):
        step(next(batches))
        for name, value in losses().items():
            series.setdefault(name, []).append(value)
    return {name: undo_means(values) for name, values in series.items()} if running_means else series


def undo_means(means: list[float]) -> list[float]:
    """Each step's own loss from the running means that Keras reports."""
    sums = [0.0, *(mean * (i + 1) for i, mean in enumerate(means))]
    return [after - before for before, after in itertools.pairwise(sums)]


def main() -> None:
    """Answer with the losses, the seconds to the first step, then the seconds of each window asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("arm", choices=["ours", "by_hand"])
    parser.add_argument("engine")
    parser.add_argument("task")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    pin(options.threads)
    module = "ours" if options.arm == "ours" else f"by_hand_{options.engine}"
    start = importlib.import_module(module).start
    what = task(options.task, options.quick)
    answer(losses=first_losses(start, what, options.weights, running_means=options.arm == "ours"))
    batches = what.batches(fixed_noise=False)
    began = time.perf_counter()
    step, losses = start(what, options.weights)
    step(next(batches))
    losses()
    answer(compile_seconds=time.perf_counter() - began)
    for _ in range(WARM_UP):
        step(next(batches))
    losses()
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step(next(batches))
        losses()  # Waits until the last step is done.
        answer(wall=time.perf_counter() - wall, processor=time.process_time() - processor)


def pin(threads: int) -> None:
    """Stay on as many cores as there are threads: JAX counts cores, whatever the variables of the others say."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def answer(**values: Any) -> None:
    """Write one line for `run.py`."""
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
