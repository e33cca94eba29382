"""Wherever a part stands for the whole it is drawn by seed: scores do not depend on the order that data lie in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genloom import Samples
from genloom.data import ArraySplit, DataSpec, drawn_rows
from genloom.metrics import Fingerprint, MetricContext, measure, metric_component, mmd_rbf
from genloom.metrics.context import FIT_ROWS
from genloom.plugins.registry import find

pytestmark = pytest.mark.any_engine

SPEC = DataSpec((4, 4, 1), classes=4)


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOM_CACHE", str(tmp_path / "cache"))


def _pictures(n: int, seed: int) -> Samples:
    """Four classes, each four times as wide as the one before: the first of a sorted set are unlike the others."""
    rng, label = np.random.default_rng(seed), np.arange(n) % 4
    noise = rng.standard_normal((n, 4, 4, 1)) * (0.002 * 4.0**label).reshape(-1, 1, 1, 1)
    return Samples((0.5 + noise).clip(0, 1).astype(np.float32), SPEC, label.astype(np.int32))


def _orders(samples: Samples) -> dict[str, Samples]:
    assert samples.labels is not None
    shuffled = np.random.default_rng(9).permutation(len(samples))
    return {"sorted": samples.take(np.argsort(samples.labels, kind="stable")), "shuffled": samples.take(shuffled)}


def _context(train: Samples, test: Samples) -> MetricContext:
    return MetricContext(train, test, SPEC)


def test_drawn_rows_are_fixed_by_the_seed_and_spread_over_all() -> None:
    rows = drawn_rows(10_000, 500)
    np.testing.assert_array_equal(rows, drawn_rows(10_000, 500))
    assert len(set(rows.tolist())) == 500
    assert (np.diff(rows) > 0).all()
    assert rows.mean() == pytest.approx(5_000, abs=4 * 10_000 / np.sqrt(12 * 500))
    assert not np.array_equal(rows, drawn_rows(10_000, 500, seed=1))
    np.testing.assert_array_equal(drawn_rows(3, 5), [0, 1, 2])


@pytest.mark.parametrize("generated", ["sorted", "shuffled"])
@pytest.mark.parametrize("held_out", ["sorted", "shuffled"])
def test_held_out_pictures_are_as_near_to_the_training_data_as_themselves(generated: str, held_out: str) -> None:
    train, test = _pictures(400, seed=0), _pictures(2_000, seed=1)
    orders = _orders(test)
    result = measure(find("metric", "nearest-train"), orders[generated], _context(train, orders[held_out]))
    assert result.n == 500
    assert result.value == pytest.approx(1.0, abs=0.35)  # the classes' own values are 0.1, 0.4, 1.6 and 6.4
    assert result.floor == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize("name", ["fd-pca20", "kid-pca20", "sliced-w2", "precision", "coverage", "class-agreement"])
def test_a_score_of_all_held_out_samples_does_not_depend_on_their_order(name: str) -> None:
    train, test, generated = _pictures(400, seed=0), _pictures(300, seed=1), _pictures(300, seed=2)
    scores = {
        order: measure(find("metric", name), generated, _context(train, part)).value
        for order, part in _orders(test).items()
    }
    assert scores["sorted"] == pytest.approx(scores["shuffled"], rel=1e-9, abs=1e-12)


def test_the_width_of_a_kernel_does_not_depend_on_the_order() -> None:
    x, y = (_pictures(n, seed).samples.reshape(n, -1) for n, seed in ((300, 0), (4_000, 1)))
    by_class = y[np.argsort(np.arange(4_000) % 4, kind="stable")]
    assert mmd_rbf(x, by_class) == pytest.approx(mmd_rbf(x, y), rel=0.1, abs=1e-4)


def test_features_of_large_data_are_fitted_on_rows_drawn_by_seed() -> None:
    """Every other row is of one class: rows taken at even steps would all be of it."""
    n = 2 * FIT_ROWS
    label = (np.arange(n) % 2).astype(np.int32)
    spec = DataSpec((1, 1, 1), classes=2)
    train = Samples(np.broadcast_to(label.reshape(-1, 1, 1, 1), (n, 1, 1, 1)).astype(np.float32), spec, label)
    fitted = MetricContext(train, train, spec).fitted
    assert len(fitted) == FIT_ROWS
    assert fitted.samples.mean() == pytest.approx(0.5, abs=0.03)


def _mean(generated: Samples, context: MetricContext) -> float:
    return float(generated.samples.mean())


def test_a_limit_draws_samples_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    component = metric_component("mean", f"{__name__}:_mean", "Mean.", lower_is_better=None, limit=100)
    load = type(component).load
    monkeypatch.setattr(type(component), "load", lambda self: _mean if self is component else load(self))
    spec = DataSpec((1, 1, 1))
    samples = Samples(np.linspace(0, 1, 10_000, dtype=np.float32).reshape(-1, 1, 1, 1), spec)
    context = MetricContext(samples, samples, spec)
    result = measure(component, samples, context)
    assert result.value == pytest.approx(0.5, abs=0.12)
    assert result.fingerprint.setting == "100 samples drawn"
    assert measure(component, samples.take(np.arange(100)), context).fingerprint.setting == ""


def test_another_arithmetic_has_another_fingerprint() -> None:
    """What `nearest-train` and `mmd-pca20` were before they drew their parts is not what they are now."""
    context = _context(_pictures(100, 0), _pictures(60, 1))
    for name in ("nearest-train", "mmd-pca20"):
        result = measure(find("metric", name), _pictures(60, 2), context)
        assert result.fingerprint.revision == 2, name
    unchanged = measure(find("metric", "fd-pca20"), _pictures(60, 2), context).fingerprint
    assert (unchanged.revision, unchanged.setting) == (Fingerprint("", "", 0).revision, "")


def test_real_pictures_of_a_run_are_of_every_class() -> None:
    from genloom.data import drawn_over_classes

    label = np.repeat(np.arange(4), 500)
    split = ArraySplit(np.zeros((2_000, 2)), label)
    assert np.bincount(label[drawn_over_classes(split, 64)]).tolist() == [16] * 4
    plain = drawn_over_classes(ArraySplit(np.zeros((2_000, 2))), 64)
    assert len(set(plain.tolist())) == 64
    assert plain.max() > 1_000
