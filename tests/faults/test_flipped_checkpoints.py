"""Checkpoints of which one bit was flipped, or the end cut off: the one before is used, and that is said."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genloom.runs import create_run, load_latest, save


@pytest.mark.any_engine
@pytest.mark.parametrize("name", ["state.safetensors", "manifest.json"])
@pytest.mark.parametrize("fault", ["one bit flipped", "cut off"])
def test_a_damaged_checkpoint_is_passed_over_and_named(
    name: str,
    fault: str,
    tmp_path: Path,
    tries: Callable[[int, int], int],
    count: Callable[[str, int, str], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    run, chosen, number = create_run(tmp_path / "run"), random.Random(f"{name} {fault}"), tries(20, 2_000)
    for step in (10, 20):
        save(run, step, {"w": np.full((40, 5), step, "float32")}, {"metrics": {"loss": 1.0 / step}})
    file = run.path / "checkpoints" / "step-00000020" / name
    whole = file.read_bytes()
    for _ in range(number):
        position = chosen.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        file.write_bytes(whole[: position // 8] if fault == "cut off" else damaged)
        arrays, manifest = load_latest(run)
        assert manifest["step"] == 10
        assert (arrays["w"] == 10).all()
        told = capfd.readouterr().err
        assert "step-00000020" in told and "Falling back to" in told
    file.write_bytes(whole)
    assert load_latest(run)[1]["step"] == 20
    count(f"{name} with {fault}", number, "named; the checkpoint before is used")
