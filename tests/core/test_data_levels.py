"""How many levels values have: told by the source, found in whole values, or asked for and held against the values."""

from __future__ import annotations

import numpy as np
import pytest

from genloom import DataSpec, data
from genloom.errors import ConfigError, DataError

pytestmark = pytest.mark.any_engine

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (20, 4, 4), dtype=np.uint8)
MASKS = RANDOM.integers(0, 2, (20, 4, 4))


def test_sources_say_their_levels_and_a_run_keeps_them() -> None:
    digits = data.open("digits")
    steps = digits.train.arrays()["x"] * (digits.spec.levels - 1)
    assert digits.spec.levels == 17
    np.testing.assert_array_equal(np.unique(steps), np.arange(17))
    assert DataSpec.from_dict(digits.spec.to_dict()).levels == 17


@pytest.mark.parametrize(
    ("x", "options", "levels"),
    [
        (BYTES, {}, 256),
        (BYTES.astype(float), {}, 256),
        (BYTES / 255, {}, 0),
        (BYTES / 255, {"levels": 256}, 256),
        (MASKS.astype(np.uint8), {"value_range": (0, 1)}, 2),
        (MASKS.astype(float), {}, 2),
        (MASKS.astype(bool), {}, 2),
        (2.0 * MASKS - 1.0, {}, 2),
        (MASKS.astype(np.uint8) * 255, {}, 2),
        (RANDOM.uniform(size=(20, 4, 4)), {}, 0),
        (RANDOM.integers(-1, 2, (20, 4, 4)), {"value_range": (-1, 1)}, 3),
        (RANDOM.normal(size=(20, 4)), {}, 0),
    ],
)
def test_levels_are_found_where_values_are_whole(x: np.ndarray, options: dict, levels: int) -> None:
    assert data.open(x, **options).spec.levels == levels


def test_levels_that_values_are_not_on_are_refused_and_counted() -> None:
    with pytest.raises(DataError, match=r"\d+ of \d+ values are on none of 17 levels from 0 to 1"):
        data.open(BYTES / 255, levels=17)
    with pytest.raises(DataError, match=r"16 levels need a value range"):
        data.open(RANDOM.normal(size=(20, 4)), levels=16)
    with pytest.raises(ConfigError, match=r"4 levels need a value range"):
        DataSpec((4,), "signal", value_range=None, levels=4)
    with pytest.raises(ConfigError, match=r"levels must be 2 to 65,536"):
        DataSpec((4, 4, 1), levels=1)


def test_levels_are_no_part_of_a_fingerprint_and_go_with_the_range() -> None:
    assert data.open(BYTES).fingerprint == data.open(BYTES, levels=256).fingerprint
    spec = DataSpec((4, 4, 1), levels=5)
    assert spec.replace(shape=(2, 2, 1)).levels == 5
    assert spec.replace(value_range=(0.0, 2.0)).levels == 0
    assert repr(spec) == repr(spec.replace(levels=0))
