"""`genloom doctor --bench`: which installed engine trains fastest here, each asked in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

from genloom import engine
from genloom.cli.output import note

__all__ = ["KINDS", "Speed", "advice", "measured"]

KINDS = ("convolution", "attention", "dense")
SECONDS = 180  # for one engine; XLA compiles three steps in a tenth of that


@dataclasses.dataclass(frozen=True)
class Speed:
    """What one engine answered.

    Attributes:
        engine: its name.
        steps: kind of work → {"ms", "lowest", "highest", "first_s"} of a training step; None when it failed.
        failure: why there is no answer.
    """

    engine: str
    steps: dict[str, dict[str, float]] | None
    failure: str | None = None


def measured(seconds: float = SECONDS) -> list[Speed]:
    """Return the speed of every engine, one after the other, so that none slows another down."""
    found = []
    for name in engine.ENGINES:
        if name not in engine.installed():
            found.append(Speed(name, None, f"not installed; pip install 'genloom[{name}]'"))
            continue
        note(f"Timing {name} …")
        found.append(_ask(name, seconds))
    return found


def advice(speeds: list[Speed]) -> dict[str, str]:
    """Return kind of work → the engine that was fastest at it; nothing where no engine answered."""
    answered = {speed.engine: speed.steps for speed in speeds if speed.steps is not None}
    return {kind: min(answered, key=lambda name: answered[name][kind]["ms"]) for kind in KINDS if answered}


def _ask(name: str, seconds: float) -> Speed:
    command = [sys.executable, "-m", "genloom.profiling.engines"]
    environment = {**os.environ, "KERAS_BACKEND": name, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env=environment)
    except subprocess.TimeoutExpired:
        return Speed(name, None, f"gave no answer in {seconds:g} s")
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Speed(name, None, f"failed with exit code {done.returncode}: {last}")
    try:
        return Speed(name, json.loads(lines[-1]))
    except ValueError:
        return Speed(name, None, f"answered {lines[-1][:80]!r}")
