"""The parent's side of a measurement: two arms in fresh processes, windows in the order ours, theirs, theirs, ours."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Options", "Ratio", "against", "environment", "median_ratio"]

TOLERANCE = 1e-4
HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Options:
    """How to measure: the quick form, rounds of ours, theirs, theirs, ours, threads of each process, loudness."""

    quick: bool
    rounds: int
    threads: int
    verbose: bool


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Ours over theirs, in throughput: above 1 we are faster.

    Attributes:
        value: median over rounds.
        lowest: of the rounds.
        highest: of the rounds.
        processor: the same ratio in seconds of processor, which other load disturbs less.
        ours_ms: milliseconds of one unit of work, median over rounds.
        theirs_ms: the same for the peer.
        first_seconds: until the first windows could begin, (ours, theirs): building, comparing, compiling, warming up.
        difference: largest relative difference of what the two computed before they were timed.
    """

    value: float
    lowest: float
    highest: float
    processor: float
    ours_ms: float
    theirs_ms: float
    first_seconds: tuple[float, float]
    difference: float


def median_ratio(
    pairs: Sequence[tuple[float, float]], processor: float, first_seconds: tuple[float, float], difference: float
) -> Ratio:
    """Return the ratio of rounds of (our seconds, their seconds) per unit of work."""
    ratios = [theirs / ours for ours, theirs in pairs]
    ours, theirs = (1e3 * statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    middle = statistics.median(ratios)
    return Ratio(middle, min(ratios), max(ratios), processor, ours, theirs, first_seconds, difference)


def against(ours: tuple[str, str], theirs: tuple[str, str], task: str, window: int, options: Options) -> Ratio:
    """Measure two arms, each an (arm, engine), on one task.

    Raises:
        SystemExit: they do not compute the same, or one ends without an answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights.npz")
        with _arm(*ours, task, weights, options) as one, _arm(*theirs, task, weights, options) as other:
            difference = _difference(one.values, other.values)
            if not difference <= TOLERANCE:
                message = f"{task}, {ours[0]} on {ours[1]}: it computes other values, by {difference:.1e}"
                raise SystemExit(f"{message}: {one.values}, {other.values}")
            first = one.read()["first_seconds"], other.read()["first_seconds"]
            rounds = [_abba(one, other, window) for _ in range(options.rounds)]
    processor = statistics.median(theirs / ours for _, (ours, theirs) in rounds)
    return median_ratio([wall for wall, _ in rounds], processor, first, difference)


def environment(engine: str, threads: int) -> dict[str, str]:
    """Threads and engine of a process; idle threads sleep, so that the arm that waits leaves the cores alone."""
    names = ("OMP", "MKL", "OPENBLAS", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
    counts = {f"{n}_THREADS" if n.startswith("TF") else f"{n}_NUM_THREADS": str(threads) for n in names}
    return {**os.environ, **counts, "KERAS_BACKEND": engine, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_WAIT_POLICY": "PASSIVE"}


class _Arm:
    """A process that works on demand."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.values: dict[str, list[float]] = self.read()["values"]

    def read(self) -> dict[str, Any]:
        """Return the next answer."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            command = " ".join(map(str, self.process.args))  # type: ignore[arg-type]
            raise SystemExit(f"{command} ended without an answer; --verbose shows what it printed.")
        return dict(json.loads(line))

    def time(self, window: int) -> dict[str, float]:
        """Return the wall and processor seconds of a window."""
        if self.process.stdin:
            self.process.stdin.write(f"{window}\n")
            self.process.stdin.flush()
        return self.read()


@contextlib.contextmanager
def _arm(name: str, engine: str, task: str, weights: Path, options: Options) -> Iterator[_Arm]:
    command = [sys.executable, str(HERE / "windows.py"), name, task, str(weights)]
    process = subprocess.Popen(
        [*command, "--quick"] if options.quick else command,
        env=environment(engine, options.threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if options.verbose else subprocess.DEVNULL,
        text=True,
    )
    try:
        yield _Arm(process)
    finally:
        process.kill()
        process.communicate()


def _difference(ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]]) -> float:
    """Return the largest difference, relative to the largest value of that name."""
    if ours.keys() != theirs.keys():
        raise SystemExit(f"The arms report different values: {sorted(ours)} and {sorted(theirs)}.")
    return max(
        max(abs(a - b) for a, b in zip(ours[name], theirs[name], strict=True)) / max(map(abs, theirs[name]))
        for name in ours
    )


def _abba(ours: _Arm, theirs: _Arm, window: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return wall seconds per unit of (ours, theirs), and processor seconds."""
    windows = [side.time(window) for side in (ours, theirs, theirs, ours)]
    wall, processor = ([w[kind] / (2 * window) for w in windows] for kind in ("wall", "processor"))
    return (wall[0] + wall[3], wall[1] + wall[2]), (processor[0] + processor[3], processor[1] + processor[2])
