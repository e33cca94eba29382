"""What saving costs a training: the time that a checkpoint of 50 MB adds, as a share of the minute between two.

    python benchmarks/saving.py                     # three engines, about two minutes each
    python benchmarks/saving.py --quick --engines torch

Each engine is a fresh process that trains one dense VAE. Every second epoch ends with a checkpoint, which is copied
then and written while the next epoch runs; what it adds is that epoch's time, from before the copy, less the mean of
the epochs beside it. Processor time is that of all threads, the writing one included, which other load on the machine
disturbs less. "Whole save" is what the training would wait for if it wrote by itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from timing import environment

ENGINES = ("jax", "tensorflow", "torch")
BAR = 3.0  # per cent of the time of a training
MINUTE = 60.0  # seconds between two checkpoints
PIXELS, BATCH = 784, 64
FULL = {"hidden": (1150, 600), "steps": 60, "epochs": 24}  # 3.2 million weights, their average and Adam's two slots
QUICK = {"hidden": (64,), "steps": 20, "epochs": 8}


_REST = ("processor", "whole", "epoch")


def measure(quick: bool) -> dict[str, float]:
    """Return MB of the state, and ms: waited for the copy, added by a checkpoint with its range, of a whole save."""
    import keras
    import numpy as np

    import genloom
    from genloom.runs import create_run, load_latest, save

    size: dict[str, Any] = QUICK if quick else FULL
    ends: list[tuple[float, float]] = []
    waits: list[float] = []

    class Clock(keras.callbacks.Callback):
        """Notes when epochs end, before the checkpoint is called, and how long it takes until the next begins."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if ends:
                waits.append(time.perf_counter() - ends[-1][0])

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            ends.append((time.perf_counter(), time.process_time()))

    x = np.random.default_rng(0).random((BATCH * size["steps"], PIXELS), dtype="float32")
    settings = {"checkpoint_every": 2, "sample_every": 0, "validation": 0.0, "progress": "none", "batch_size": BATCH}
    length = {"options": {"hidden": size["hidden"]}, "epochs": size["epochs"]}
    with tempfile.TemporaryDirectory() as folder:
        run = genloom.train("vae/mlp", x, out=Path(folder, "run"), callbacks=[Clock()], **length, **settings)
        arrays, manifest = load_latest(run)
        began = time.perf_counter()
        save(create_run(Path(folder, "whole")), 1, arrays)
        whole = time.perf_counter() - began
    walls, processor = (np.diff([end[clock] for end in ends]) * 1e3 for clock in (0, 1))
    saved = np.arange(3, len(walls) - 1, 2)  # the first checkpoint of a run, after epoch 1 from 0, is waited for
    added, work = (t[saved] - (t[saved - 1] + t[saved + 1]) / 2 for t in (walls, processor))
    return {
        "MB": manifest["state_bytes"] / 1e6,
        "copy": 1e3 * statistics.median(waits[i] for i in saved),
        "added": float(np.median(added)),
        "least": float(added.min()),
        "most": float(added.max()),
        "processor": float(np.median(work)),
        "whole": 1e3 * whole,
        "epoch": float(np.median(walls)),
    }


def child(engine: str, quick: bool, threads: int) -> dict[str, float]:
    """Return what a fresh process answers."""
    print(f"{engine} …", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--child", *(["--quick"] if quick else [])]
    done = subprocess.run(command, env=environment(engine, threads), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def line(engine: str, found: dict[str, float]) -> str:
    """Return an engine's row."""
    share = max(found["added"], found["processor"]) / 1e3 / MINUTE * 100
    verdict = f"bar {BAR:g}" if share < BAR else f"**above {BAR:g}**"
    spread = f"{found['added']:.0f} ({found['least']:.0f} to {found['most']:.0f})"
    cells = [f"{found['MB']:.1f}", f"{found['copy']:.0f}", spread, *(f"{found[k]:.0f}" for k in _REST)]
    return f"| {engine} | {' | '.join(cells)} | {share:.2f}, {verdict} |"


def main() -> None:
    """Measure and print a table, or answer for one engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(measure(asked.quick)))
        return
    print(
        "| engine | state, MB | copy, ms | added, ms | processor, ms | whole save, ms | an epoch, ms | of a minute, % |"
    )
    print("| --- " * 8 + "|")
    for engine in asked.engines:
        print(line(engine, child(engine, asked.quick, asked.threads)), flush=True)


if __name__ == "__main__":
    main()
