"""Training steps of the models we ship, on the device that the engine sees.

    KERAS_BACKEND=torch python benchmarks/gpu.py                         # every row, float32 and bfloat16
    KERAS_BACKEND=torch python benchmarks/gpu.py --eager --rows vae gan  # beside steps that run eagerly
    KERAS_BACKEND=torch python benchmarks/gpu.py --tiny                  # the same code on small networks, in seconds

A step is timed with its batch on the device, each waited for; the first ones, which trace, compile and record, are
left out. MFU is the rate of the operations that the engine counts in a step, over the best of a large matrix product
of the type. With REQUIRE_GPU=1 it fails where the engine computes on the processor.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import time
from typing import Any

import keras
import numpy as np

import genloom
from genloom import DataSpec, backend
from genloom.model.precision import policy
from genloom.profiling.step import matmul_peak

WARM_UP, STEPS = 6, 20

PICTURES = DataSpec((32, 32, 3), classes=10)
TEXT = DataSpec((1025,), kind="text", dtype="int32", value_range=None, vocabulary=50_257)
TINY_PICTURES = DataSpec((8, 8, 1), classes=3)
TINY_TEXT = DataSpec((17,), kind="text", dtype="int32", value_range=None, vocabulary=64)


@dataclasses.dataclass(frozen=True)
class Row:
    """A model, its preset, and the samples of a batch."""

    id: str
    preset: str
    batch: int
    spec: DataSpec = PICTURES


ROWS = (
    Row("language/transformer", "gpt2-small", 16, TEXT),
    Row("diffusion/ddpm", "base", 128),
    Row("gan/wgan-gp", "small", 64),
    Row("gan/mlp", "small", 128),
    Row("vae/mlp", "small", 128),
)


def small(row: Row) -> Row:
    """Return the row in its quick form."""
    return Row(row.id, "tiny", 4, TINY_TEXT if row.spec is TEXT else TINY_PICTURES)


def batch_of(model: Any, row: Row) -> dict[str, Any]:
    """Return a random batch on the device, with rows for every repeat of a phase."""
    rng, n = np.random.default_rng(0), row.batch * max(phase.repeats for phase in model.phases())
    if row.spec.kind == "text":
        batch = {"x": rng.integers(0, row.spec.vocabulary, (n, *row.spec.shape)).astype("int32")}
    else:
        batch = {"x": rng.random((n, *row.spec.shape), dtype="float32")}
        batch["label"] = rng.integers(0, row.spec.classes, n).astype("int32")
    return {name: keras.ops.convert_to_tensor(array) for name, array in batch.items()}


class Clock(keras.callbacks.Callback):
    """Times steps, each waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self.first = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Start."""
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Wait and stop."""
        self.losses.append(sum(float(value) for name, value in logs.items() if name.endswith("loss")))
        self.seconds.append(time.perf_counter() - self.began)
        self.first = self.first or time.perf_counter()

    @property
    def step(self) -> float:
        """Seconds of a step after those that warm up."""
        return statistics.median(self.seconds[WARM_UP:])


def trained(row: Row, steps: int, eagerly: bool) -> tuple[Any, Clock, float]:
    """Return a trained model, the clock of its steps, and the seconds from its making to the end of the first."""
    began, clock = time.perf_counter(), Clock()
    model = genloom.create(row.id, row.spec, preset=row.preset, seed=1)
    model.compile(run_eagerly=eagerly, ema=0.999)
    batch = batch_of(model, row)
    stream = ((batch,) for _ in range(WARM_UP + steps))
    model.fit(stream, steps_per_epoch=WARM_UP + steps, callbacks=[clock], shuffle=False, verbose=0)
    return model, clock, clock.first - began


def measure(row: Row, precision: str, steps: int, eager: bool) -> list[str]:
    """Return the cells of one line of the table."""
    with policy(precision):
        peak = matmul_peak()
        model, clock, first = trained(row, steps, eagerly=False)
        slow = f"{1e3 * trained(row, steps, eagerly=True)[1].step:.2f}" if eager else "–"
    mfu = backend.step_flops(model, batch_of(model, row)) / clock.step / peak
    rate = row.batch * (row.spec.shape[0] if row.spec.kind == "text" else 1) / clock.step
    loss = f"{clock.losses[0]:.3f} → {clock.losses[-1]:.3f}"
    return [row.id, precision, f"{1e3 * clock.step:.2f}", slow, f"{rate:,.0f}", f"{mfu:.1%}", f"{first:.1f}", loss]


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="small networks, for any machine")
    parser.add_argument("--eager", action="store_true", help="time eager steps too")
    parser.add_argument("--rows", nargs="*", default=[""], help="beginnings of the ids to measure")
    parser.add_argument("--precisions", nargs="*", default=["bfloat16", "float32"])
    options = parser.parse_args()
    device = str(keras.ops.ones(1).device).lower()
    if os.environ.get("REQUIRE_GPU") == "1" and not ("cuda" in device or "gpu" in device):
        raise SystemExit(f"REQUIRE_GPU=1, but {backend.name()} computes on {device}.")
    print(f"{backend.name()} on {device}\n")
    print("| model | precision | ms | eager ms | samples or tokens/s | MFU | first step, s | loss |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in (row for row in ROWS if row.id.startswith(tuple(options.rows))):
        for precision in options.precisions:
            cells = measure(small(row) if options.tiny else row, precision, 4 if options.tiny else STEPS, options.eager)
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
