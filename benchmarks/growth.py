"""How cost grows: step time and memory of a U-Net against batch, width and resolution, and memory against data.

    python benchmarks/growth.py                     # writes docs/results/growth.md and its picture
    python benchmarks/growth.py --quick --out DIR   # two small points

Each point is a fresh process. Memory is the most that the process held, less what it held before the model was built.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tasks import Task
from timing import environment

ENGINES = ("jax", "tensorflow", "torch")
BASE = {"batch": 16, "width": 32, "resolution": 16}
AXES = {"batch": (8, 32, 128), "width": (16, 32, 64), "resolution": (16, 32, 64)}
PICTURES = (1_000, 4_000, 16_000)
ROOT = Path(__file__).parents[1]


def held() -> float:
    """Return the most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def step(point: dict[str, int], steps: int) -> dict[str, float]:
    """Return milliseconds of a step and MiB of one point, on the engine of KERAS_BACKEND."""
    from ours.steps import start

    side = point["resolution"]
    task = Task("unet", point["batch"], (side, side, 3), steps, width=point["width"])
    batches, before = task.batches(fixed_noise=False), held()
    with tempfile.TemporaryDirectory() as folder:
        run, losses = start(task, Path(folder, "weights.npz"))
    for _ in range(2):
        run(next(batches))
    losses()
    times = []
    for _ in range(steps):
        began = time.perf_counter()
        run(next(batches))
        losses()
        times.append(1e3 * (time.perf_counter() - began))
    return {"ms": statistics.median(times), "mib": held() - before}


def data(count: int) -> dict[str, float]:
    """Return MiB that a process holds after reading an epoch of a folder of pictures."""
    import numpy as np
    from PIL import Image

    import genloom

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), "uint8")).save(Path(folder, f"{i}.png"))
        before = held()
        opened = genloom.data.open(f"images:{folder}")
        loader = genloom.data.Loader(opened.train, 64, seed=0)
        stream = iter(loader)
        for _ in range(loader.steps_per_epoch):
            next(stream)
        return {"mib": held() - before}


def child(engine: str, *words: str) -> dict[str, float]:
    """Return what a fresh process answers."""
    env = environment(engine, os.cpu_count() or 1)
    command = [sys.executable, __file__, "--child", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured(engines: list[str], axes: dict[str, tuple[int, ...]], steps: int) -> dict[str, Any]:
    """Return axis → engine → values of the axis → {"ms", "mib"}."""
    found: dict[str, Any] = {}
    for axis, values in axes.items():
        for engine in engines:
            for value in values:
                print(f"{axis} {value} on {engine} …", file=sys.stderr, flush=True)
                point = json.dumps({**BASE, axis: value})
                found.setdefault(axis, {}).setdefault(engine, {})[value] = child(engine, "step", point, str(steps))
    return found


def page(found: dict[str, Any], memory: dict[int, float]) -> str:
    """Return docs/results/growth.md."""
    base = ", ".join(f"{name} {value}" for name, value in BASE.items())
    lines = [
        "# How cost grows",
        "",
        "Made by `python benchmarks/growth.py`: a training step of the benchmarks' U-Net, each point in a fresh",
        f"process on {os.cpu_count()} cores. What is not varied: {base}. Memory is the most that the process held,",
        "less what it held before the model was built.",
        "",
        "![Step time and memory](../pictures/growth.png)",
    ]
    for axis, engines in found.items():
        values = list(next(iter(engines.values())))
        lines += ["", row(axis, *(str(value) for value in values)), row(*["---"] * (len(values) + 1))]
        for engine, points in engines.items():
            lines.append(row(f"{engine}, ms", *(f"{points[value]['ms']:.1f}" for value in values)))
            lines.append(row(f"{engine}, MiB", *(f"{points[value]['mib']:.0f}" for value in values)))
    if memory:
        lines += ["", "A folder of pictures, read for one epoch: what reading adds to the process's memory.", ""]
        lines += [row("pictures", *(f"{n:,}" for n in memory)), row(*["---"] * (len(memory) + 1))]
        lines.append(row("MiB", *(f"{value:.0f}" for value in memory.values())))
    return "\n".join(lines) + "\n"


def row(*cells: str) -> str:
    """Return one Markdown row."""
    return f"| {' | '.join(cells)} |"


def picture(found: dict[str, Any], path: Path) -> None:
    """Draw step time and memory against each axis, both scales logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(3.6 * len(found), 5.4), squeeze=False, sharey="row")
    for column, (axis, engines) in enumerate(found.items()):
        for place, (kind, label) in enumerate((("ms", "step, ms"), ("mib", "memory, MiB"))):
            for engine, points in engines.items():
                axes[place][column].loglog(list(points), [p[kind] for p in points.values()], "o-", ms=4, label=engine)
            axes[place][0].set_ylabel(label)
            ticks = list(next(iter(engines.values())))
            axes[place][column].set_xticks(ticks, [str(tick) for tick in ticks])
            axes[place][column].minorticks_off()
            axes[place][column].grid(alpha=0.3)
        axes[1][column].set_xlabel(axis)
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure all points and write the page, or answer for one point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of results/ and pictures/")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        kind, *words = asked.child
        print(json.dumps(data(int(words[0])) if kind == "data" else step(json.loads(words[0]), int(words[1]))))
        return
    axes = {"batch": AXES["batch"][:2]} if asked.quick else AXES
    found = measured(asked.engines, axes, 2 if asked.quick else 5)
    counts = (64,) if asked.quick else PICTURES
    memory = {count: child(asked.engines[0], "data", str(count))["mib"] for count in counts}
    for folder in ("results", "pictures"):
        (asked.out / folder).mkdir(parents=True, exist_ok=True)
    (asked.out / "results" / "growth.md").write_text(page(found, memory), encoding="utf-8")
    picture(found, asked.out / "pictures" / "growth.png")
    print(page(found, memory))


if __name__ == "__main__":
    main()
