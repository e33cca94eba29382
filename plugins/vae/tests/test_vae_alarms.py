"""Posterior collapse is said while there is time, and only then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import genloom
from genloom import DataSpec
from genloom.model import Seen

SMALL: dict[str, Any] = {"latent": 4, "hidden": (32,), "prior": "standard", "learning_rate": 5e-3}
QUIET: dict[str, Any] = {"sample_every": 0, "progress": "none", "batch_size": 64, "seed": 1, "checkpoint_every": 99}


def sounded(run: genloom.Run) -> list[tuple[str, int]]:
    return [(entry["alarm"]["name"], entry["step"]) for entry in run.log() if "alarm" in entry]


def test_active_units_are_those_whose_mean_varies() -> None:
    """A linear encoder of x = ±1: the variance of the mean of dimension i is its weight squared (Burda et al. 2016)."""
    spec = DataSpec((1,), "signal", value_range=(-1.0, 1.0))
    encoder = keras.Sequential([keras.Input((1,)), keras.layers.Dense(8)])
    weights = np.array([[1.0, 0.2, 0.09, 0.0, 5.0, 5.0, 5.0, 5.0]], "float32")  # the last four are log-variances
    encoder.layers[0].set_weights([weights, np.arange(8, dtype="float32")])
    model = genloom.create("vae/mlp", spec, networks={"encoder": encoder}, latent=4, hidden=(4,), prior="standard")
    x = np.array([[-1.0], [1.0]] * 8, "float32")
    (alarm,) = [alarm for alarm in model.alarms() if alarm.name == "active_units"]
    assert alarm.value(Seen({}, lambda: {"x": x})) == 2


@pytest.mark.parametrize(("beta", "expected"), [(1.0, []), (50.0, [("active_units", 432), ("kl", 432)])])
def test_forced_collapse_is_flagged_and_a_healthy_training_is_not(
    beta: float, expected: list[tuple[str, int]], tmp_path: Path
) -> None:
    """β = 50 leaves the codes nothing to say of the digits."""
    asked = {"options": {**SMALL, "beta": beta}, "out": tmp_path / "run", **QUIET}
    run = genloom.train("vae/mlp", "digits", epochs=24, validate_every=3, **asked)
    assert sounded(run) == expected


def test_a_code_book_of_few_words_is_flagged() -> None:
    """By the share of codes that batches use: under a tenth in two looks."""
    (alarm,) = genloom.create("vae/fsq", DataSpec((8, 8, 1)), preset="tiny", compile=False).alarms()
    assert alarm.value(Seen({"usage": 0.02}, dict)) == 0.02
    assert alarm.value(Seen({"kl": 1.0}, dict)) is None
    assert [alarm.sounds(values) for values in ([0.02], [0.02, 0.3], [0.5, 0.09, 0.02])] == [False, False, True]
