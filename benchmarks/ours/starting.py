"""How long a fresh process takes from its imports to its first pictures; run by `SecondProcess` in rows.py."""

from __future__ import annotations

import json
import sys
import time

import genloom
from genloom import backend  # noqa: F401 - imports the engine before the clock starts
from genloom.sampling.drawing import draw_samples

SHAPE, CHANNELS, STEPS = (32, 32, 3), (32, 64), 10


def main() -> None:
    """Build a diffusion model, draw pictures, and answer with the seconds that drawing them again does not take."""
    began = time.perf_counter()
    channels = CHANNELS[:1] if "--quick" in sys.argv else CHANNELS
    model = genloom.create("diffusion/ddpm", genloom.DataSpec(SHAPE), channels=channels)
    drawn = draw_samples(model, 16, seed=0, options={"steps": STEPS})
    until_first = time.perf_counter() - began
    again = draw_samples(model, 16, seed=0, options={"steps": STEPS})
    print(json.dumps({"seconds": until_first - again.seconds, "mean": float(drawn.samples.mean())}))


if __name__ == "__main__":
    main()
