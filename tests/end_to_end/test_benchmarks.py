"""The benchmarks run, their arms compute the same losses, and a ratio comes out."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import keras

RUN = Path(__file__).parents[2] / "benchmarks" / "run.py"


def test_quick_benchmark_agrees_and_gives_a_ratio(tmp_path):
    out = tmp_path / "rows.json"
    engine = keras.config.backend()
    chosen = ["--quick", "--engines", engine, "--tasks", "wgan-gp", "--repeats", "1", "--threads", "1"]
    done = subprocess.run([sys.executable, RUN, *chosen, "--out", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text())
    assert row["loss_difference"] <= 1e-4
    assert math.isfinite(row["ratio"]) and row["ratio"] > 0
    assert f"| wgan-gp | {row['ratio']:.2f}" in done.stdout
