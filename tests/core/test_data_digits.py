"""The digits are the ones on which the opponents' values were derived."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from genloom.data.sources.digits import open_digits
from genloom.errors import DataError

pytestmark = pytest.mark.any_engine


@pytest.fixture(scope="module")
def digits():
    return open_digits()


def test_counts_shapes_and_range(digits):
    assert (len(digits.train), len(digits.test)) == (1297, 500)
    batch = digits.train.arrays()
    assert batch["x"].shape == (1297, 8, 8, 1)
    assert (batch["x"].min(), batch["x"].max()) == (0.0, 1.0)
    assert len(np.unique(batch["x"])) == 17
    assert digits.spec.classes == 10
    assert digits.spec.condition == ("label",)
    np.testing.assert_allclose(digits.spec.class_frequencies, np.bincount(batch["label"]) / 1297)


def test_bits_per_dimension_of_the_marginals(digits):
    # Derived value of the reference table: 2.42 with 17 grey levels.
    train, test = ((split.arrays()["x"] * 16).astype(int).reshape(-1, 64) for split in (digits.train, digits.test))
    counts = np.stack([np.bincount(column, minlength=17) + 1.0 for column in train.T])
    shares = counts / counts.sum(axis=1, keepdims=True)
    bits = -np.log2(shares[np.arange(64), test]).mean()
    assert bits == pytest.approx(2.42, abs=0.005)


def test_three_neighbours_and_train_floor(digits):
    # Derived values of the reference table: accuracy 0.982, FD on 20 PCA components 0.045 (0.0436 in float64).
    train, test = digits.train.arrays(), digits.test.arrays()
    a, b = (part["x"].reshape(-1, 64).astype(np.float64) for part in (train, test))
    assert KNeighborsClassifier(3).fit(a, train["label"]).score(b, test["label"]) == pytest.approx(0.982)
    project = PCA(20, svd_solver="full").fit(a).transform
    assert frechet(project(a), project(b)) == pytest.approx(0.0436, abs=2e-4)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    gap, left, right = a.mean(0) - b.mean(0), np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(left)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ right @ root), 0)).sum()
    return float(gap @ gap + np.trace(left) + np.trace(right) - 2 * cross)


def test_no_test_digit_is_in_train(digits):
    train, test = ({x.tobytes() for x in split.arrays()["x"]} for split in (digits.train, digits.test))
    assert not train & test


def test_the_fingerprint_stays(digits):
    assert digits.fingerprint == open_digits().fingerprint
    assert len(digits.fingerprint) == 16
    int(digits.fingerprint, 16)


def test_digits_take_no_argument():
    with pytest.raises(DataError, match="takes nothing after it, got '8x8'"):
        open_digits("8x8")
