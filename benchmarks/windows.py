"""What runs in the process of one arm: it shows what it computes, then works in windows timed on demand.

An arm is a function `run(task, weights, windows)` of one of the modules beside. Every answer is a line of JSON on
stdout; the engine has stderr to itself.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tasks import Task, task

CHECKED, WARM_UP = 5, 3

Start = Callable[[Task, Path], tuple[Callable[[dict[str, Any]], None], Callable[[], dict[str, float]]]]


class Windows:
    """The windows that the parent asks for: `for size in windows` times what the loop's body does."""

    def __init__(self) -> None:
        self.begun: tuple[float, float] | None = None
        self.made = time.perf_counter()

    def show(self, values: dict[str, list[float]]) -> None:
        """Say what this arm computes, for the parent to compare with the other's."""
        answer(values=values)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        """Answer for the window that ends here, and wait for the next one's size."""
        if self.begun is None:
            answer(first_seconds=time.perf_counter() - self.made)
        else:
            wall, processor = self.begun
            answer(wall=time.perf_counter() - wall, processor=time.process_time() - processor)
        line = sys.stdin.readline()
        if not line:
            raise SystemExit
        self.begun = time.perf_counter(), time.process_time()
        return int(line)


def step_by_step(start: Start, what: Task, weights: Path, windows: Windows, running_means: bool = False) -> None:
    """Show the first losses on fixed noise, then run windows of single steps on fresh noise.

    Args:
        start: returns step(batch), and a function that waits for the last step and returns its losses.
        what: sizes and data.
        weights: file of the first weights, the same for both arms.
        windows: what the parent asks for.
        running_means: whether the losses are means over the steps so far, as Keras reports them.
    """
    step, losses = start(what, weights)
    batches, series = what.batches(fixed_noise=True), dict[str, list[float]]()
    for _ in range(CHECKED):
        step(next(batches))
        for name, value in losses().items():
            series.setdefault(name, []).append(value)
    windows.show({name: _undo_means(values) for name, values in series.items()} if running_means else series)
    if not what.quick:  # which goes on with the noise it has, since other inputs are compiled anew
        batches = what.batches(fixed_noise=False)
        step, losses = start(what, weights)
    for _ in range(WARM_UP):
        step(next(batches))
    losses()
    for steps in windows:
        for _ in range(steps):
            step(next(batches))
        losses()


def _undo_means(means: list[float]) -> list[float]:
    sums = [0.0, *(mean * (i + 1) for i, mean in enumerate(means))]
    return [after - before for before, after in itertools.pairwise(sums)]


def answer(**values: Any) -> None:
    """Write one line for the parent."""
    print(json.dumps(values), flush=True)


def main() -> None:
    """Run the arm that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("arm", help="MODULE:FUNCTION")
    parser.add_argument("task")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    module, _, function = options.arm.partition(":")
    getattr(importlib.import_module(module), function)(task(options.task, options.quick), options.weights, Windows())


if __name__ == "__main__":
    sys.modules["windows"] = sys.modules["__main__"]  # arms import it by name
    main()
