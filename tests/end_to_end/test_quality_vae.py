"""The VAE family against the numbers that it must reach: docs/make_vae.py, whole and in its short form."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHOW_LIU, STRETCH = 2.21, 2.10  # bits per value of digits


def measured(repository: Path, folder: Path, env: dict[str, str], *words: str) -> dict[str, Any]:
    script = [sys.executable, str(repository / "docs" / "make_vae.py"), "--json", str(folder / "found.json")]
    done = subprocess.run([*script, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    document: dict[str, Any] = json.loads((folder / "found.json").read_text("utf-8"))
    return document


@pytest.mark.any_engine
def test_the_short_form_measures_everything(
    repository: Path, tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]
) -> None:
    found = measured(repository, tmp_path, subprocess_env(), "--quick")
    assert [row["prior"] for row in found["bounds"]] == ["N(0, I)"]
    assert all(row["64 draws"] < row["ELBO"] < 3.0 for row in found["bounds"]), "after two epochs"
    methods = {row["method"]: row["RMSE"] for row in found["imputation"]}
    assert methods["mean of the value"] == pytest.approx(0.2746, abs=1e-3)
    assert methods["5 nearest neighbours"] == pytest.approx(0.1497, abs=1e-3)
    assert [row["model"] for row in found["samples"]] == ["`vae/rae`"]


@pytest.mark.quality
def test_vaes_reach_their_numbers(
    repository: Path, tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]
) -> None:
    found = measured(repository, tmp_path, subprocess_env())
    bits = {row["prior"]: row["64 draws"] for row in found["bounds"]}
    assert all(row["ELBO"] < CHOW_LIU for row in found["bounds"]), found["bounds"]
    assert min(bits.values()) < STRETCH
    filled = [row["RMSE"] for row in found["imputation"]]
    assert filled[2] < min(filled[:2])
