"""The benchmarks run, their arms compute the same, and a ratio comes out."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ENGINE = keras.config.backend()


@pytest.mark.parametrize("rows", [["vae", "wgan-gp"], ["multi-step", "run"], ["second-process"]], ids="+".join)
def test_quick_rows_agree_and_give_a_ratio(
    rows: list[str], tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]
) -> None:
    out = tmp_path / "numbers.json"
    command = [sys.executable, BENCHMARKS / "run.py", "--quick", "--engines", ENGINE, "--rows", *rows, "--out", out]
    done = subprocess.run(command, env=subprocess_env(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    numbers = json.loads(out.read_text())
    assert list(numbers) == rows
    for name in rows:
        found = numbers[name][ENGINE]
        assert found["difference"] <= 1e-4
        assert math.isfinite(found["value"])
        assert found["value"] > 0
        assert f"| {name} | {found['value']:.2f} (" in done.stdout


def test_arms_that_compute_different_things_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import timing

    assert timing._difference({"loss": [1.0, 2.0]}, {"loss": [1.0, 2.1]}) == pytest.approx(0.1 / 2.1)
    with pytest.raises(SystemExit, match="different values"):
        timing._difference({"loss": [1.0]}, {"other": [1.0]})


def test_a_missed_bar_is_said_and_fails_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import rows
    import run
    from timing import Ratio

    row = rows.Row("one", "what", "", "", {"best": 1.5, "torch": 1.0})
    ratio = {e: Ratio(v, v, v, v, 1.0, 1.0, (1.0, 1.0), 0.0) for e, v in (("jax", 1.4), ("torch", 0.9))}
    assert run.missed([row], {"one": ratio}) == ["one on best", "one on torch"]
    text = run.table([row], ["jax", "torch"], {"one": ratio})
    assert "| one | 1.40 (1.40 to 1.40) | 0.90 (0.90 to 0.90), **below 1** | 1.40 (jax), **below 1.5** |" in text
