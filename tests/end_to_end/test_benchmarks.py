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

pytestmark = pytest.mark.long

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ENGINE = keras.config.backend()
Run = Callable[..., subprocess.CompletedProcess[str]]


# Of those that need no other library: each engine has its own loops by hand and its own executions; the rest are timed
# where they say most, a run on the quickest engine and a second process on the one that compiles for longest.
ROWS = ["vae", "wgan-gp", "multi-step", *{"torch": ["run"], "jax": ["second-process"]}.get(ENGINE, [])]


def test_quick_rows_agree_and_give_a_ratio(tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]) -> None:
    out = tmp_path / "numbers.json"
    command = [sys.executable, BENCHMARKS / "run.py", "--quick", "--engines", ENGINE, "--rows", *ROWS, "--out", out]
    done = subprocess.run(command, env=subprocess_env(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    numbers = json.loads(out.read_text())
    assert list(numbers) == ROWS
    for name in ROWS:
        found = numbers[name][ENGINE]
        assert found["difference"] <= 1e-4
        assert math.isfinite(found["value"])
        assert found["value"] > 0
        assert f"| {name} | {found['value']:.2f} (" in done.stdout


@pytest.mark.any_engine
def test_arms_that_compute_different_things_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import timing

    assert timing._difference({"loss": [1.0, 2.0]}, {"loss": [1.0, 2.1]}) == pytest.approx(0.1 / 2.1)
    with pytest.raises(SystemExit, match="different values"):
        timing._difference({"loss": [1.0]}, {"other": [1.0]})


@pytest.mark.any_engine
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


def test_models_learn_in_both_precisions(
    tmp_path: Path, subprocess_env: Callable[..., dict[str, str]], run_python: Run
) -> None:
    program = f"import runpy; runpy.run_path({str(BENCHMARKS / 'gpu.py')!r}, run_name='__main__')"
    words = ("--tiny", "--rows", "vae", "language")
    env = subprocess_env(CUDA_VISIBLE_DEVICES="-1", JAX_PLATFORMS="cpu")
    done = run_python(program, *words, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith(("| vae", "| language"))]
    assert [row[1] for row in rows] == ["bfloat16", "float32"] * 2
    for *_, loss in rows:
        first, last = (float(value) for value in loss.strip(" |").split(" → "))
        assert last < first
    done = run_python(program, *words, env=env | {"REQUIRE_GPU": "1"}, cwd=tmp_path)
    assert done.returncode == 1
    assert f"REQUIRE_GPU=1, but {ENGINE} computes on" in done.stderr


@pytest.mark.any_engine
def test_growth_writes_its_page_and_picture(tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]) -> None:
    command = [sys.executable, BENCHMARKS / "growth.py", "--quick", "--engines", ENGINE, "--out", tmp_path]
    done = subprocess.run(command, env=subprocess_env(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "results" / "growth.md").read_text()
    (times,) = [line for line in page.splitlines() if line.startswith(f"| {ENGINE}, ms")]
    assert all(float(cell) > 0 for cell in times.strip("| ").split(" | ")[1:])
    assert (tmp_path / "pictures" / "growth.png").stat().st_size > 5_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_blocks_computed_again_hold_less_memory(tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]) -> None:
    command = [sys.executable, BENCHMARKS / "memory.py", "--quick", "--engines", ENGINE, "--out", tmp_path]
    done = subprocess.run(command, env=subprocess_env(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"| {ENGINE} ")]
    *_, later, planned = line.split("|")[1:-1]
    # Compiling takes more memory than so small a step, so on JAX what XLA plans for is compared.
    kept, again = (float(part) for part in (planned if ENGINE == "jax" else later).split("→"))
    assert again < 0.6 * kept


@pytest.mark.any_engine
def test_what_needs_no_engine_is_measured_alone(subprocess_env: Callable[..., dict[str, str]]) -> None:
    command = [sys.executable, BENCHMARKS / "alone.py", "--quick"]
    done = subprocess.run(command, env=subprocess_env(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split(",")[0].split(" of ")[0] for line in done.stdout.splitlines()[2:]] == [
        "| Fréchet distance",
        "| precision",
        "| loader",
        "| loader",
    ]


@pytest.mark.any_engine
def test_saving_costs_little(subprocess_env: Callable[..., dict[str, str]]) -> None:
    command = [sys.executable, BENCHMARKS / "saving.py", "--quick", "--engines", ENGINE, "--threads", "1"]
    done = subprocess.run(command, env=subprocess_env(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if line.startswith(f"| {ENGINE} ")]
    _, megabytes, copy, _, _, whole, epoch, verdict = (cell.strip() for cell in row.strip("|").split("|"))
    assert 1 < float(megabytes) < 3
    assert float(copy) > 0 and float(whole) > 0 and float(epoch) > 0
    assert verdict.endswith("bar 3")
