"""Remedies against forgetting in trainings: a run goes on with each exactly, and none without a past is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom
from genloom.errors import ConfigError, DataError
from genloom.runs import Run, load_latest
from genloom_adapt import ancestors, old_data

pytestmark = pytest.mark.long


def halves_in(folder: Path) -> list[str]:
    """Addresses of the digits 0 to 4, and of 5 to 9 with dark for bright: what helps with the one harms the other."""
    digits = genloom.data.open("digits")
    addresses = []
    for half in (0, 5):
        file = folder / f"from{half}.npz"
        parts = {}
        for name, split in (("train", digits.train), ("test", digits.test)):
            arrays = split.arrays()
            chosen = (arrays["label"] >= half) & (arrays["label"] < half + 5)
            x = arrays["x"][chosen]
            parts["x" if name == "train" else "x_test"] = x if half == 0 else x.max() + x.min() - x
        np.savez(file, **parts)
        addresses.append(f"npz:{file}")
    return addresses


SETTINGS: dict[str, Any] = {"sample_every": 0, "progress": "none", "validation": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("remedies")


@pytest.fixture(scope="module")
def halves(folder: Path) -> list[str]:
    return halves_in(folder)


@pytest.fixture(scope="module")
def base(halves: list[str], folder: Path) -> Run:
    run: Run = genloom.train("vae/mlp", halves[0], preset="tiny", steps=12, out=folder / "base", **SETTINGS)
    return run


@pytest.fixture(scope="module")
def plain(halves: list[str], base: Run, folder: Path) -> dict[str, Any]:
    """What goes on with the other half and remembers nothing."""
    asked = {"preset": "tiny", "init_from": base.path, **SETTINGS}
    return load_latest(genloom.train("vae/mlp", halves[1], steps=14, out=folder / "plain", **asked))[0]


@pytest.mark.parametrize("retained", ["replay:share=0.3", "ewc:strength=0.5,samples=16", "agem"])
def test_a_run_that_remembers_goes_on_bitwise(
    retained: str, halves: list[str], base: Run, plain: dict[str, Any], tmp_path: Path
) -> None:
    assert [each.path for each in ancestors(base)] == [base.path]
    assert [data.address for data in old_data(base)] == [halves[0]]
    asked = {"preset": "tiny", "init_from": base.path, "retain": retained, **SETTINGS}
    plan = genloom.train("vae/mlp", halves[1], steps=14, dry_run=True, **asked)
    rows = len(genloom.data.open(halves[1]).train) / (0.7 if "replay" in retained else 1.0)
    assert plan["steps_per_epoch"] == int(rows) // 64
    whole = genloom.train("vae/mlp", halves[1], steps=14, out=tmp_path / "whole", **asked)
    genloom.train("vae/mlp", halves[1], steps=7, out=tmp_path / "parts", **asked)
    again = genloom.train("vae/mlp", halves[1], steps=14, out=tmp_path / "parts", resume=True, **asked)
    first, second = load_latest(whole)[0], load_latest(again)[0]
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    moved = [np.abs(first[name] - value).max() for name, value in plain.items() if name.startswith("model/")]
    assert max(moved) > 1e-3
    assert genloom.sample(whole, 2).samples.shape[0] == 2  # the anchors of the training are not needed
    if retained.startswith("ewc"):
        assert any(name.startswith("model/preparations/retain/anchors/") for name in first)
        assert "retention" in next(iter(whole.log()))["losses"]


def test_a_remedy_without_a_past_is_refused(tmp_path: Path) -> None:
    halves = halves_in(tmp_path)
    with pytest.raises(ConfigError, match="Give a run: --init-from RUN"):
        genloom.train("vae/mlp", halves[1], retain="replay", out=tmp_path / "x")
    base = genloom.train("vae/mlp", halves[0], preset="tiny", steps=2, out=tmp_path / "base", **SETTINGS)
    with pytest.raises(ConfigError, match="has no distillation_loss"):
        genloom.train("vae/mlp", halves[1], preset="tiny", retain="lwf", init_from=base.path, out=tmp_path / "y")
    with pytest.raises(ConfigError, match="adapt freezes"):
        genloom.train(
            "vae/mlp", halves[1], preset="tiny", retain="ewc", adapt="lora", init_from=base.path, out=tmp_path / "z"
        )
    np.savez(tmp_path / "from0.npz", x=np.zeros((9, 8, 8, 1)), x_test=np.zeros((9, 8, 8, 1)))
    with pytest.raises(DataError, match="changed since"):
        genloom.train(
            "vae/mlp", halves[1], preset="tiny", retain="replay", init_from=base.path, out=tmp_path / "w", steps=2
        )
