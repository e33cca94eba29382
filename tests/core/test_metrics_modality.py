"""Scores look at what a modality says they are to look at, and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest

from genloom import data
from genloom.cli.evaluate import evaluate as command
from genloom.data.samples import Samples
from genloom.data.spec import DataSpec
from genloom.evaluation import evaluate as evaluation
from genloom.evaluation.evaluate import evaluate
from genloom.metrics import context as contexts
from genloom.metrics.choosing import choose, spell
from genloom.metrics.context import MetricContext
from genloom.metrics.measuring import measure
from genloom.metrics.result import MetricResult
from genloom.modalities import Modality
from genloom.report.definitions import definition
from genloom.runs import Run

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


class Alike(Heights):
    """Of all samples the same counts."""

    def featured(self, samples: np.ndarray[Any, Any], spec: DataSpec) -> np.ndarray[Any, Any]:
        return np.ones((len(samples), 2))


@pytest.mark.filterwarnings("error")
def test_features_that_never_differ_are_scored_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured("fd-pca20", Alike(), monkeypatch).value == pytest.approx(0.0, abs=1e-12)
    assert measured("precision", Alike(), monkeypatch).value == 1.0
    assert measured("sliced-w2", Alike(), monkeypatch).value == 0.0
    none = measured("nearest-train", Alike(), monkeypatch)
    assert np.isnan(none.value) and none.floor is None and not none.opponents
    told = "Held-out samples have the same height as training samples, so memorised samples cannot be detected."
    assert (none.reason, none.to_dict()["value"], none.to_dict()["reason"]) == (told, None, told)


def test_a_metric_that_has_nothing_to_measure_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    x = drawn(0, 60).samples.astype("float32")
    dataset = data.open(((x, np.zeros(60, int)), (x, np.zeros(60, int))), kind="signal", value_range=(0.0, 8.0))
    run = Run(tmp_path / "run")
    run.path.mkdir()
    given = {"address": dataset.address, "fingerprint": dataset.fingerprint}
    run.write_config({"model": {"id": "vae/mlp"}, "data": given, "training": {}})

    def sampler(n: int, seed: int) -> Samples:
        return Samples(x[:n], dataset.spec, np.zeros(n, int))

    evaluate(run, sampler=sampler, dataset=dataset)
    kept = {entry["name"]: entry for entry in run.metrics()}
    reasons = {name: entry["reason"] for name, entry in kept.items() if "reason" in entry}
    copies = "Held-out samples are copies of training samples, so memorised samples cannot be detected."
    assert reasons["nearest-train"] == copies and kept["nearest-train"]["value"] is None
    assert kept["fd[pca6]"]["value"] is not None and "reason" not in kept["fd[pca6]"]
    assert f"nearest-train has no value: {copies}" in capfd.readouterr().err
    # One class teaches a classifier nothing, and what it would have been scored by says so.
    assert reasons["fd[classifier32]"].startswith("A classifier needs 60 labels of two classes")
    found = evaluate(run, ["nearest-train", "precision"], sampler=sampler, dataset=dataset)
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: found)
    for words in ((), ("--metric", "nearest-train", "--metric", "precision")):
        done = click.testing.CliRunner().invoke(command, [str(run.path), *words])
        assert done.exit_code == (2 if words else 0), done.output
        assert "precision\t1" in done.stdout and "nearest-train\t\t" in done.stdout
