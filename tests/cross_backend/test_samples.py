"""Weights that were trained on one engine draw the same pictures on every engine and at every batch size."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from genloom.data import open as open_data
from genloom.metrics import frechet_distance
from genloom.model.state import restore_weights
from genloom.sampling.drawing import draw_samples

AGREE = 1e-4  # on the value range [0, 1]


@pytest.fixture(scope="module")
def stored(first_party: ModuleType) -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {id: {} for id in first_party.picture_ids()}
    with np.load(first_party.TRAINED, allow_pickle=False) as file:
        for key in file.files:
            id, _, name = key.partition(":")
            found[id][name] = file[key]
    return found


def test_trained_weights_draw_the_stored_pictures(
    picture_id: str, first_party: ModuleType, stored: dict[str, dict[str, np.ndarray]]
) -> None:
    model: Any = first_party.untrained(picture_id)
    before = draw_samples(model, 8, seed=7).samples
    restore_weights(model, {name: array for name, array in stored[picture_id].items() if name != "samples"})
    expected = stored[picture_id]["samples"]
    assert np.abs(before - expected[:8]).max() > 0.1  # what was learnt is in the weights
    together, alone = (draw_samples(model, 64, seed=7, chunk=chunk).samples for chunk in (64, 1))
    assert np.abs(together - expected).max() <= AGREE
    assert np.abs(alone - expected).max() <= AGREE


def test_the_stored_pictures_are_digits(picture_id: str, stored: dict[str, dict[str, np.ndarray]]) -> None:
    """Noise would agree as well: the pictures are nearer to real digits than independent pixels are."""
    train = open_data("digits").train.arrays(1000)["x"]
    real, pictures = (x.reshape(len(x), -1).astype("float64") for x in (train, stored[picture_id]["samples"]))
    shuffled = np.stack([np.random.default_rng(i).permutation(column) for i, column in enumerate(real.T)], axis=1)
    assert frechet_distance(pictures, real) < 0.8 * frechet_distance(shuffled[:64], real)
