"""Scores look at what a modality says they are to look at, and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloom.data.samples import Samples
from genloom.data.spec import DataSpec
from genloom.metrics import context as contexts
from genloom.metrics.choosing import choose, spell
from genloom.metrics.context import MetricContext
from genloom.metrics.measuring import measure
from genloom.metrics.result import MetricResult
from genloom.modalities import Modality
from genloom.report.definitions import definition

pytestmark = pytest.mark.any_engine

SPEC = DataSpec((3, 2), kind="signal", value_range=(0.0, 8.0))


class Heights(Modality):
    """Of a sample its largest value counts."""

    features = "height"

    def featured(self, samples: np.ndarray[Any, Any], spec: DataSpec) -> np.ndarray[Any, Any]:
        return samples.reshape(len(samples), -1).max(axis=1, keepdims=True)


class Names(Heights):
    numeric = False


def drawn(seed: int, n: int) -> Samples:
    return Samples(np.random.default_rng(seed).uniform(0, 8, (n, 3, 2)), SPEC)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def measured(name: str, modality: Modality, monkeypatch: pytest.MonkeyPatch) -> MetricResult:
    monkeypatch.setattr(contexts, "modality_of", lambda spec: modality)
    (metric,) = choose([name], SPEC, data_labelled=False, samples_labelled=False)
    return measure(metric, drawn(0, 60), MetricContext(drawn(1, 90), drawn(2, 60), SPEC, data="kept"))


def test_a_score_over_features_of_a_modalitys_own(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    result = measured("fd-pca20", Heights(), monkeypatch)
    made, real = (drawn(seed, 60).samples.max(axis=(1, 2)) for seed in (0, 2))
    # Of two Gaussians on a line: (μ₁ - μ₂)² + (σ₁ - σ₂)².
    expected = (made.mean() - real.mean()) ** 2 + (made.std(ddof=1) - real.std(ddof=1)) ** 2
    assert result.value == pytest.approx(expected, rel=1e-9)
    assert (result.name, result.fingerprint.features) == ("fd[height-pca1]", "height-pca1")
    assert set(result.opponents) == {"mixture", "gaussian", "marginals"}  # their values are amounts
    assert result.floor != result.value
    assert not cache.exists()  # another author's features may change under the same name


def test_values_that_are_no_amounts_have_a_floor_and_no_opponents(monkeypatch: pytest.MonkeyPatch) -> None:
    result = measured("nearest-train", Names(), monkeypatch)
    assert result.floor == 1.0 and not result.opponents
    assert (result.name, result.fingerprint.features) == ("nearest-train", "height")


def test_without_features_of_their_own_samples_are_compared_by_their_values(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    plain = measured("fd-pca20", Modality(), monkeypatch)
    assert (plain.name, plain.fingerprint.features) == ("fd[pca6]", "pca6")
    assert cache.exists()
    context = MetricContext(drawn(1, 90), drawn(2, 60), SPEC)
    assert context.values(context.test) == pytest.approx(drawn(2, 60).samples.reshape(60, 6) / 8)


def test_a_score_is_found_by_the_name_it_is_reported_under() -> None:
    assert [spell(name) for name in ("fd[height-pca1]", "fd[pca20]")] == ["fd-pca1", "fd-pca20"]
    assert definition("fd[height-pca1]") == definition("fd[pca20]") != ""
