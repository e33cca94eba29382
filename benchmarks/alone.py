"""What needs no engine, measured alone: the Fréchet distance, the k-nearest-neighbour metrics, and the loader.

python benchmarks/alone.py [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import numpy as np

from genloom.data import ArraySplit, Loader
from genloom.metrics.frechet import frechet_distance
from genloom.metrics.neighbours import neighbourhoods

ROUNDS = 5
FRECHET_BAR = 1.2
# The model of the suite that eats most, the MLP VAE of rows.py: 128 rows of 784 numbers a step.
BATCH, PIXELS, LOADER_BAR = 128, 784, 10.0


def seconds(fn: Callable[[], object]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    fn()
    return time.perf_counter() - began


def bare_lapack(x: np.ndarray, y: np.ndarray) -> float:
    """The calls that a Fréchet distance cannot do without: two covariances, a factor, its product, eigenvalues."""
    cov_x, cov_y = (a.T @ a / (len(a) - 1) for a in (x, y))
    factor = np.linalg.cholesky(cov_x)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(factor.T @ cov_y @ factor), 0.0, None)).sum()
    return float(np.trace(cov_x) + np.trace(cov_y) - 2.0 * cross)


def frechet(quick: bool) -> str:
    """Time the Fréchet distance beside the bare calls, in the order ours, theirs, theirs, ours."""
    n, d = (1_000, 128) if quick else (10_000, 2_048)
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((n, d)) for _ in range(2))
    x, y = x - x.mean(0), y - y.mean(0)  # so that both compute the same number
    assert abs(frechet_distance(x, y) - bare_lapack(x, y)) < 1e-6 * d
    ratios, ours = [], []
    for _ in range(1 if quick else ROUNDS):
        first, *theirs, last = (
            seconds(lambda fn=fn: fn(x, y)) for fn in (frechet_distance, bare_lapack, bare_lapack, frechet_distance)
        )
        ratios.append((first + last) / sum(theirs))
        ours.append((first + last) / 2)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    ratio = statistics.median(ratios)
    verdict = f"bar {FRECHET_BAR}" if ratio <= FRECHET_BAR else f"**above {FRECHET_BAR}**"
    what = f"Fréchet distance of {n:,} × {d:,}, over the bare LAPACK calls"
    return f"| {what} | {ratio:.2f} ({spread}), {verdict} | {statistics.median(ours):.2f} s |"


def neighbours(quick: bool) -> str:
    """Time the exact neighbour metrics and measure the memory they hold at most."""
    n, d = (2_000, 16) if quick else (20_000, 64)
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((n, d)) for _ in range(2))
    tracemalloc.start()
    took = seconds(lambda: neighbourhoods(x, y))
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    whole = n * n * 8 / 2**20
    what = f"precision, recall, density, coverage of {n:,} × {d}, peak memory"
    return f"| {what} | {peak:.0f} MiB; the matrix has {whole:,.0f} | {took:.2f} s |"


def drain(stream: Iterator[object], batches: int) -> None:
    """Take batches and drop them."""
    for _ in islice(stream, batches):
        pass


def loader(quick: bool, eaten: float) -> list[str]:
    """Time how many rows the loader yields in a second, for floats and for bytes, over what the fastest model eats."""
    n, batches = (10_000, 200) if quick else (60_000, 3_000)
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 256, (n, PIXELS), "uint8")
    lines = []
    splits = {"float32": ArraySplit(stored.astype("float32")), "bytes": ArraySplit(stored, divisor=255.0)}
    for kind, split in splits.items():
        stream = Loader(split, BATCH, seed=0).stream()
        drain(stream, 20)
        rates = [BATCH * batches / seconds(partial(drain, stream, batches)) for _ in range(1 if quick else ROUNDS)]
        rate = statistics.median(rates)
        times = rate / eaten
        verdict = f"bar {LOADER_BAR:g}" if times >= LOADER_BAR else f"**below {LOADER_BAR:g}**"
        lines.append(
            f"| loader, {kind}, over the {eaten:,.0f} rows/s of the fastest model | {times:.1f}, {verdict} "
            f"| {rate:,.0f} rows/s ({min(rates):,.0f} to {max(rates):,.0f}) |"
        )
    return lines


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--eaten", type=float, default=40_000.0, help="rows/s of the fastest model: 128000 / its ms in the row `vae`"
    )
    options = parser.parse_args()
    print("| what | measured | of which |\n| --- | --- | --- |")
    for line in (frechet(options.quick), neighbours(options.quick), *loader(options.quick, options.eaten)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
