"""Times GenLoom against hand-written loops and other libraries on every engine, and prints one table.

Each arm is a fresh process with the same pinned threads. Both first show that they compute the same; compilation and
warm-up are left out of the timing. Windows of work then alternate ours, theirs, theirs, ours, so that whatever else the
machine does falls on both; each such round gives one ratio.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import math
import os
import queue
import sys
from importlib.metadata import version
from pathlib import Path

from rows import ENGINES, ROWS, Row
from timing import Options, Ratio

Cells = dict[str, dict[str, Ratio]]  # row → engine → what was measured


def arguments() -> argparse.Namespace:
    """Read the command line."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less work, smaller pictures, two cells at a time")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--rows", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, help="of ours, theirs, theirs, ours: 5, or 1 with --quick")
    parser.add_argument("--threads", type=int, help="of each process: every core, or 1 with --quick")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON here")
    parser.add_argument("--strict", action="store_true", help="end with exit code 1 when a bar is missed")
    parser.add_argument("--verbose", action="store_true", help="show what the engines print")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write the numbers if asked to."""
    asked = arguments()
    threads = asked.threads or (1 if asked.quick else os.cpu_count() or 1)
    options = Options(asked.quick, asked.rounds or (1 if asked.quick else 5), threads, asked.verbose)
    rows = [row for row in ROWS if row.name in asked.rows]
    cells = measured(rows, asked.engines, options)
    versions = ", ".join(f"{name} {version(name)}" for name in ("keras", *asked.engines))
    print(f"{threads} threads, {options.rounds} rounds, {versions}\n")
    print(table(rows, asked.engines, cells))
    if asked.out:
        numbers = {row: {e: dataclasses.asdict(r) for e, r in found.items()} for row, found in cells.items()}
        asked.out.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    if asked.strict and missed(rows, cells):
        raise SystemExit(1)


def measured(rows: list[Row], engines: list[str], options: Options) -> Cells:
    """Measure every cell; one at a time, unless the numbers do not matter."""
    jobs = [(row, engine) for row in rows if not row.missing() for engine in engines]
    cells: Cells = {}

    def measure(job: tuple[Row, str]) -> Ratio:
        row, engine = job
        print(f"{row.name} on {engine} …", file=sys.stderr, flush=True)
        return row.measure(engine, options)

    places: queue.SimpleQueue[int] = queue.SimpleQueue()
    workers = 2 if options.quick else 1
    for place in range(workers):
        places.put(place)
    with concurrent.futures.ThreadPoolExecutor(workers, initializer=lambda: pin(places.get(), options.threads)) as pool:
        for (row, engine), ratio in zip(jobs, pool.map(measure, jobs), strict=True):
            cells.setdefault(row.name, {})[engine] = ratio
    return cells


def pin(place: int, threads: int) -> None:
    """Keep this thread and the processes it starts on as many cores as they have threads: JAX counts only cores."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        first = place * threads % len(cores)
        os.sched_setaffinity(0, (cores + cores)[first : first + threads])


def best(found: dict[str, Ratio]) -> str:
    """Return the engine with the highest ratio."""
    return max(found, key=lambda engine: found[engine].value)


def missed(rows: list[Row], cells: Cells) -> list[str]:
    """Return the bars that were missed, as "row on engine"."""
    found = []
    for row in rows:
        ratios = cells.get(row.name, {})
        for engine, bar in row.bars.items():
            ratio = ratios.get(best(ratios) if engine == "best" and ratios else engine)
            if ratio is not None and ratio.value < bar:
                found.append(f"{row.name} on {engine}")
    return found


def table(rows: list[Row], engines: list[str], cells: Cells) -> str:
    """Return the table in Markdown, the timings below it."""
    lines = [line("ours over theirs", *engines, "best of them"), line(*["---"] * (len(engines) + 2))]
    for row in rows:
        if row.missing():
            lines.append(line(row.name, *[f"skipped: {row.missing()}"], *[""] * len(engines)))
            continue
        found = cells[row.name]
        lines.append(line(row.name, *(cell(row, e, found[e]) for e in engines), best_cell(row, found)))
    lines += ["", *(f"- `{row.name}`: {row.what}." for row in rows)]
    lines += ["", line("row", "engine", "ours ms", "theirs ms", "processor time", "first s", "differ by")]
    lines.append(line(*["---"] * 7))
    for name, found in cells.items():
        for engine, r in found.items():
            first = f"{r.first_seconds[0]:.1f} / {r.first_seconds[1]:.1f}"
            processor = "" if math.isnan(r.processor) else f"{r.processor:.2f}"
            times = f"{r.ours_ms:.2f}", f"{r.theirs_ms:.2f}", processor
            lines.append(line(name, engine, *times, first, f"{r.difference:.0e}"))
    return "\n".join(lines)


def cell(row: Row, engine: str, ratio: Ratio) -> str:
    """Return one ratio with its range, and its bar where it has one."""
    return f"{ratio.value:.2f} ({ratio.lowest:.2f} to {ratio.highest:.2f})" + judged(ratio.value, row.bars.get(engine))


def best_cell(row: Row, found: dict[str, Ratio]) -> str:
    """Return the best of a row's ratios and its engine."""
    engine = best(found)
    return f"{found[engine].value:.2f} ({engine})" + judged(found[engine].value, row.bars.get("best"))


def judged(value: float, bar: float | None) -> str:
    """Return the bar beside a value, and whether it is missed."""
    if bar is None:
        return ""
    return f", bar {bar:g}" if value >= bar else f", **below {bar:g}**"


def line(*cells: str) -> str:
    """Return one Markdown row."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
