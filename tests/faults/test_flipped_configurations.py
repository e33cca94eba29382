"""Bits of run.toml flipped one at a time: what the checkpoint was made with is never another in silence."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genloom.errors import DamagedRunError, GenLoomError
from genloom.runs import create_run, load_latest, save
from genloom.runs.sealing import seal

pytestmark = pytest.mark.any_engine

CONFIG = {
    "model": {"id": "vae/conv", "seed": 3, "options": {"latent": 16, "widths": [32, 64]}},
    "data": {"fingerprint": "0123456789abcdef", "spec": {"shape": [8, 8, 1], "value_range": [0.0, 1.0], "classes": 10}},
    "training": {"batch_size": 64, "learning_rate": 1e-3, "noise": "native"},
}
SETTINGS = ("batch_size", "learning_rate", "noise")


def test_no_flipped_bit_changes_what_is_sealed_in_silence(
    tmp_path: Path, tries: Callable[[int, int], int], count: Callable[[str, int, str], None]
) -> None:
    flips = tries(200, 5_000)
    run = create_run(tmp_path / "run")
    run.write_config(CONFIG)
    save(run, 1, {"w": np.zeros(2)}, seal(CONFIG, {}, SETTINGS))
    whole, draw, found = (run.path / "run.toml").read_bytes(), random.Random(0), 0
    for _ in range(flips):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        (run.path / "run.toml").write_bytes(flipped)
        try:
            load_latest(run)
        except GenLoomError as error:
            assert "run.toml" in str(error)
            found += 1
        else:
            assert run.config == CONFIG  # an indentation that became another
    assert found > 0.8 * flips
    (run.path / "run.toml").write_bytes(whole)
    assert load_latest(run)[1]["step"] == 1
    count("one bit of run.toml flipped", flips, f"{found} refused by name, the others changed nothing that is sealed")


def test_a_setting_that_was_none_cannot_be_added(tmp_path: Path) -> None:
    run, settings = create_run(tmp_path / "run"), (*SETTINGS, "clip")
    run.write_config({**CONFIG, "training": {**CONFIG["training"], "clip": None}})
    save(run, 1, {"w": np.zeros(2)}, seal(CONFIG, {}, settings))
    assert load_latest(run)[1]["step"] == 1
    run.write_config({**CONFIG, "training": {**CONFIG["training"], "clip": 0.001}})
    with pytest.raises(DamagedRunError, match=r"training\.clip = 0\.001, the checkpoint null"):
        load_latest(run)
