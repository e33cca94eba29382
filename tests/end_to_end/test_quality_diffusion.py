"""The diffusion family against the numbers that it must reach: docs/make_diffusion.py, whole and in its short form."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ENTROPY = math.log(8) + math.log(2 * math.pi * math.e * 0.05**2)
MIXTURE = {"fd[pca20]": 0.129, "fd[classifier32]": 2.22}


def measured(repository: Path, folder: Path, env: dict[str, str], *words: str) -> dict[str, Any]:
    script = [sys.executable, str(repository / "docs" / "make_diffusion.py"), "--json", str(folder / "found.json")]
    done = subprocess.run([*script, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    document: dict[str, Any] = json.loads((folder / "found.json").read_text("utf-8"))
    return document


@pytest.mark.any_engine
def test_the_short_form_measures_everything(
    repository: Path, tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]
) -> None:
    found = measured(repository, tmp_path, subprocess_env(), "--quick")
    assert [(row["model"], row["calls"]) for row in found["ring"]] == [
        ("flow", 1), ("flow", 2), ("flow, coupling=ot", 1), ("flow, coupling=ot", 2), ("meanflow", 1), ("meanflow", 2),
        ("meanflow, rule=halves", 1), ("meanflow, rule=halves", 2),
    ]  # fmt: skip
    assert found["ring"][1]["nll"] > ENTROPY + 0.5  # hardly trained
    assert {row["model"] for row in found["digits"]["models"]} == {"ddpm", "flow"}
    assert all(row["fd[pca20]"] > MIXTURE["fd[pca20]"] for row in found["digits"]["models"])
    assert [row["calls"] for row in found["digits"]["samplers"]] == [5]
    assert [row["calls"] for row in found["distilled"]] == [50, 1, 2, 4]
    assert 0.0 <= found["digits"]["guidance"][0]["class-agreement"] <= 1.0


@pytest.mark.quality
def test_diffusion_reaches_its_numbers(
    repository: Path, tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]
) -> None:
    found = measured(repository, tmp_path, subprocess_env())

    def ring(model: str, calls: int, value: str) -> list[float]:
        return [row[value] for row in found["ring"] if (row["model"], row["calls"]) == (model, calls)]

    assert np.mean(ring("meanflow", 1, "mode-share")) >= 0.9 and min(ring("meanflow", 1, "modes")) == 8
    assert np.mean(ring("meanflow", 2, "mode-share")) >= 0.95
    assert np.mean(ring("flow", 1, "mode-share")) < 0.05
    straight, crossed = ring("flow, coupling=ot", 4, "mode-share"), ring("flow", 4, "mode-share")
    assert np.mean(straight) > np.mean(crossed) + 0.1  # fewer calls for the same
    assert abs(np.mean([row["nll"] for row in found["ring"] if "nll" in row]) - ENTROPY) < 0.05
    for row in found["digits"]["models"]:
        if row["model"] in ("edm", "flow"):
            assert all(row[name] < value for name, value in MIXTURE.items()), row
            assert row["coverage"] > 0.95 and row["label-transfer"] >= 0.97, row
    at_ten = {row["sampler"]: row["fd[pca20]"] for row in found["digits"]["samplers"] if row["calls"] in (9, 10)}
    assert max(at_ten["dpm_2m"], at_ten["heun"]) <= at_ten["ddim"] <= at_ten["ancestral"]
    teacher, *students = found["distilled"]
    in_two = next(row for row in students if row["model"] == "consistency, taught" and row["calls"] == 2)
    assert all(in_two[name] <= 1.3 * teacher[name] for name in MIXTURE), (teacher, in_two)
