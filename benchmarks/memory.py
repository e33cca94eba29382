"""Memory of a training step of a transformer whose blocks are kept for the backward pass, or computed again (`remat`).

    python benchmarks/memory.py                     # writes docs/results/memory.md
    python benchmarks/memory.py --quick --out DIR   # one small point

Each point is a fresh process, on Linux. What it holds is what the kernel counts, less what it held before the first
step; memory that was given back is returned to the kernel at once, so that peaks are those of live arrays.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from timing import environment

ENGINES = ("jax", "tensorflow", "torch")
SHAPE = {"heads": 4, "width": 256, "length": 257, "batch": 8}
LAYERS = (4, 12)
QUICK = {"width": 128}, (12,)
ROOT = Path(__file__).parents[1]
# The first step compiles or captures; on torch the two first batches are computed eagerly as well, to compare.
TRIALS = 2
# glibc raises this threshold as it runs, and keeps what is smaller.
AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536"}


def held(name: str) -> float:
    """Return what this process holds (VmRSS), or has held at most (VmHWM), in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 2**10


def forget_the_most() -> None:
    """Begin VmHWM anew."""
    Path("/proc/self/clear_refs").write_text("5")


def step(point: dict[str, Any], steps: int) -> dict[str, float]:
    """Return milliseconds of all cores, MiB of the first step and of later ones, and on JAX the MiB of XLA's plan."""
    import numpy as np

    import genloom

    options = {name: point[name] for name in ("heads", "width", "layers", "remat")}
    spec = genloom.DataSpec((point["length"],), kind="text", dtype="int32", value_range=None, vocabulary=256)
    x = np.random.default_rng(0).integers(0, 256, (point["batch"], point["length"])).astype("int32")
    model = genloom.create("language/transformer", spec, **options)
    model.compile()
    forget_the_most()
    before = held("VmRSS")

    def fit() -> float:
        began = time.process_time()
        model.fit((({"x": x},) for _ in range(1)), steps_per_epoch=1, verbose=0, shuffle=False)
        return 1e3 * (time.process_time() - began)

    for _ in range(TRIALS):
        fit()
    first = held("VmHWM") - before
    forget_the_most()
    found = {"ms": statistics.median(fit() for _ in range(steps)), "first": first, "later": held("VmHWM") - before}
    return found | ({"planned": planned(model, x)} if os.environ["KERAS_BACKEND"] == "jax" else {})


def planned(model: Any, x: Any) -> float:
    """Return MiB of temporary arrays in the compiled step."""
    import jax

    groups = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
    state = model._get_jax_state(**dict.fromkeys(groups, True))
    analysis = jax.jit(model.train_step).lower(state, {"x": x}).compile().memory_analysis()
    return float(analysis.temp_size_in_bytes) / 2**20


def child(engine: str, point: dict[str, Any], steps: int) -> dict[str, float]:
    """Return what a fresh process answers."""
    print(f"{point} on {engine} …", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--child", json.dumps(point), str(steps)]
    env = environment(engine, os.cpu_count() or 1) | AT_ONCE
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def page(found: list[tuple[str, int, dict[str, float], dict[str, float]]], shape: dict[str, int]) -> str:
    """Return docs/results/memory.md from engine, layers, and the numbers without and with `remat`."""
    lines = [
        "# Blocks computed again",
        "",
        "Made by `python benchmarks/memory.py`: a training step of `language/transformer`, each point in a fresh",
        f"process on {os.cpu_count()} cores; {', '.join(f'{name} {value}' for name, value in shape.items())}.",
        "Each cell: blocks kept → computed again (`remat=true`). Memory is the most that the process held, less what",
        "it held before the first step: `first` in the first two, which compile, capture and try, `later` after them;",
        "`planned` is XLA's own count of temporary arrays. Time is that of all cores, with `fit` around a step.",
        "XLA's compilations came from its cache: the first of a machine takes more memory than a small step.",
        "",
        "| engine | layers | processor time, ms | first, MiB | later, MiB | planned, MiB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for engine, layers, kept, again in found:
        cells = [f"{kept[name]:.0f} → {again[name]:.0f}" if name in kept else "" for name in
                 ("ms", "first", "later", "planned")]  # fmt: skip
        lines.append(f"| {engine} | {layers} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure all points and write the page, or answer for one point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of results/")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(step(json.loads(asked.child[0]), int(asked.child[1]))))
        return
    shape, depths = (SHAPE | QUICK[0], QUICK[1]) if asked.quick else (SHAPE, LAYERS)
    found = []
    for engine in asked.engines:
        for layers in depths:
            points = [shape | {"layers": layers, "remat": remat} for remat in (False, True)]
            kept, again = (child(engine, point, 1 if asked.quick else 5) for point in points)
            found.append((engine, layers, kept, again))
    (asked.out / "results").mkdir(parents=True, exist_ok=True)
    (asked.out / "results" / "memory.md").write_text(page(found, shape), encoding="utf-8")
    print(page(found, shape))


if __name__ == "__main__":
    main()
