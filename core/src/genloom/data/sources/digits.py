"""`digits`: real handwriting that is on every machine already, small enough to train on in a minute."""

from __future__ import annotations

import numpy as np

from genloom.data.dataset import Dataset
from genloom.data.sources.assemble import assemble
from genloom.data.spec import DataSpec
from genloom.errors import DataError

__all__ = ["open_digits"]

TRAIN = 1297  # of 1,797; the other 500 are the test that published floors are computed on


def open_digits(rest: str = "") -> Dataset:
    """Open scikit-learn's copy of the UCI optical digits: 1,297 train and 500 test pictures, 8×8×1 in [0, 1].

    The 17 grey levels 0..16 are divided by 16. The order is NumPy's legacy `RandomState(0).permutation`, whose
    stream never changes, and the first 1,297 train. Source: Alpaydin and Kaynak, UCI, CC BY 4.0.

    Raises:
        DataError: anything after the colon.
    """
    if rest:
        raise DataError(f"digits takes nothing after it, got {rest!r}.", mend="Write digits.")
    from sklearn.datasets import load_digits

    raw = load_digits()
    order = np.random.RandomState(0).permutation(len(raw.images))
    x = raw.images[order, :, :, None].astype(np.uint8)  # (1797, 8, 8, 1)
    label = raw.target[order].astype(np.int32)
    spec = DataSpec((8, 8, 1), classes=10, class_names=tuple("0123456789"), levels=17)
    notes = ("Optical digits, UCI, CC BY 4.0; 17 grey levels, divided by 16.",)
    return assemble("digits", spec, (x[:TRAIN], label[:TRAIN]), (x[TRAIN:], label[TRAIN:]), divisor=16, notes=notes)
