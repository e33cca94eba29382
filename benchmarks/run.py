"""Times one training step, GenLoom's against a loop written by hand for the same engine, and prints one table.

Each arm is a fresh process with the same pinned threads. Both first show that they compute the same losses; compilation
and warm-up are left out of the timing. Windows of steps then alternate ours, theirs, theirs, ours, so that whatever
else the machine does falls on both; each such round gives one ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks import task

ENGINES, TASKS = ("jax", "tensorflow", "torch"), ("wgan-gp", "unet")
BARS = {"jax": 0.95, "tensorflow": 0.95, "torch": 0.85}
TOLERANCE = 1e-4
HERE = Path(__file__).parent


class Arm:
    """A process that times steps on demand."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.losses: dict[str, list[float]] = self.read()["losses"]
        self.compile_seconds: float = self.read()["compile_seconds"]

    def read(self) -> dict[str, Any]:
        """Return the next answer."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} ended without an answer.")  # type: ignore[union-attr]
        return dict(json.loads(line))

    def time(self, steps: int) -> dict[str, float]:
        """Return the wall and processor seconds of a window of steps."""
        if self.process.stdin:
            self.process.stdin.write(f"{steps}\n")
            self.process.stdin.flush()
        return self.read()


def environment(engine: str, threads: int) -> dict[str, str]:
    """Threads and engine of both arms; idle threads sleep, so that the arm that waits leaves the cores alone."""
    names = ("OMP", "MKL", "OPENBLAS", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
    counts = {f"{n}_THREADS" if n.startswith("TF") else f"{n}_NUM_THREADS": str(threads) for n in names}
    return {**os.environ, **counts, "KERAS_BACKEND": engine, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_WAIT_POLICY": "PASSIVE"}


@contextlib.contextmanager
def arm(kind: str, engine: str, name: str, weights: Path, options: argparse.Namespace) -> Iterator[Arm]:
    """Start an arm, and end it with the block."""
    command = [sys.executable, str(HERE / "arm.py"), kind, engine, name, str(weights), f"--threads={options.threads}"]
    process = subprocess.Popen(
        [*command, "--quick"] if options.quick else command,
        env=environment(engine, options.threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if options.verbose else subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Arm(process)
    finally:
        process.kill()
        process.communicate()


def disagreement(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> float:
    """Return the largest difference of the first losses, relative to the largest loss of that name."""
    if ours.keys() != theirs.keys():
        raise SystemExit(f"The arms report different losses: {sorted(ours)} and {sorted(theirs)}.")
    return max(
        max(abs(a - b) for a, b in zip(ours[name], theirs[name], strict=True)) / max(map(abs, theirs[name]))
        for name in ours
    )


def measure(engine: str, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return one row of the table."""
    steps = task(name, options.quick).steps
    with (
        tempfile.TemporaryDirectory() as folder,
        arm("ours", engine, name, Path(folder, "weights.npz"), options) as ours,
        arm("by_hand", engine, name, Path(folder, "weights.npz"), options) as theirs,
    ):
        difference = disagreement(ours.losses, theirs.losses)
        if not difference <= TOLERANCE:
            raise SystemExit(
                f"{name} on {engine}: the losses differ by {difference:.1e}: {ours.losses}, {theirs.losses}"
            )
        rounds = [abba(ours, theirs, steps) for _ in range(options.repeats)]
    ratios = [theirs / ours for (ours, theirs), _ in rounds]
    return {
        "task": name,
        "engine": engine,
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "processor_ratio": statistics.median(theirs / ours for _, (ours, theirs) in rounds),
        "bar": BARS[engine],
        "ours_ms": 1e3 * statistics.median(wall[0] for wall, _ in rounds),
        "theirs_ms": 1e3 * statistics.median(wall[1] for wall, _ in rounds),
        "ours_compile_s": ours.compile_seconds,
        "theirs_compile_s": theirs.compile_seconds,
        "loss_difference": difference,
    }


def abba(ours: Arm, theirs: Arm, steps: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return wall seconds per step of (ours, theirs), and processor seconds."""
    windows = [side.time(steps) for side in (ours, theirs, theirs, ours)]
    wall, processor = ([w[kind] / (2 * steps) for w in windows] for kind in ("wall", "processor"))
    return (wall[0] + wall[3], wall[1] + wall[2]), (processor[0] + processor[3], processor[1] + processor[2])


def table(rows: list[dict[str, Any]]) -> str:
    """Return the table in Markdown: a row for each task, all engines in it, and the timings below."""
    engines = [engine for engine in ENGINES if any(row["engine"] == engine for row in rows)]
    lines = [
        row_of("ours over theirs", *(f"{e} (bar {BARS[e]})" for e in engines)),
        row_of(*["---"] * (len(engines) + 1)),
    ]
    for name in dict.fromkeys(row["task"] for row in rows):
        found = {row["engine"]: row for row in rows if row["task"] == name}
        cells = [f"{found[e]['ratio']:.2f} ({found[e]['lowest']:.2f} to {found[e]['highest']:.2f})" for e in engines]
        lines.append(row_of(name, *cells))
    lines += [
        "",
        row_of("task", "engine", "ours ms", "theirs ms", "processor time", "first step s", "losses differ by"),
    ]
    lines.append(row_of(*["---"] * 7))
    for r in rows:
        times = (f"{r['ours_ms']:.2f}", f"{r['theirs_ms']:.2f}", f"{r['processor_ratio']:.2f}")
        compiled = f"{r['ours_compile_s']:.1f} / {r['theirs_compile_s']:.1f}"
        lines.append(row_of(r["task"], r["engine"], *times, compiled, f"{r['loss_difference']:.0e}"))
    return "\n".join(lines)


def row_of(*cells: str) -> str:
    """Return one Markdown row."""
    return f"| {' | '.join(cells)} |"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer steps, smaller pictures: under three minutes")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--repeats", type=int, default=5, help="rounds of ours, theirs, theirs, ours")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of both arms")
    parser.add_argument("--out", type=Path, help="write the rows as JSON here")
    parser.add_argument("--verbose", action="store_true", help="show what the engines print")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write the rows if asked to."""
    options = arguments()
    rows = []
    for name in options.tasks:
        for engine in options.engines:
            print(f"{name} on {engine} …", file=sys.stderr, flush=True)
            rows.append(measure(engine, name, options))
    print(f"{options.threads} threads, {options.repeats} rounds, keras {version('keras')}, ", end="")
    print(", ".join(f"{engine} {version(engine)}" for engine in options.engines))
    print(f"\n{table(rows)}")
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if not all(math.isfinite(row["ratio"]) and row["ratio"] > 0 for row in rows):
        raise SystemExit("A ratio is not a positive number.")


if __name__ == "__main__":
    main()
