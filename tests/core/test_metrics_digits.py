"""Features, floors and opponents on real digits: the numbers that a neural model has to beat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genloom import Samples, data
from genloom.errors import ConfigError, DataError, NotFoundError
from genloom.metrics import (
    MetricContext,
    MetricResult,
    classifier_features,
    measure,
    metric_component,
    pca_features,
)
from genloom.metrics.choosing import choose
from genloom.metrics.opponents import OPPONENTS
from genloom.plugins.registry import find

pytestmark = pytest.mark.any_engine


@pytest.fixture(scope="module")
def digits() -> MetricContext:
    dataset = data.open("digits")
    parts = (split.arrays() for split in (dataset.train, dataset.test))
    train, test = (Samples(part["x"], dataset.spec, part["label"]) for part in parts)
    return MetricContext(train, test, dataset.spec, dataset.fingerprint)


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.getbasetemp() / "metrics-cache"
    monkeypatch.setenv("GENLOOM_CACHE", str(folder))


def _measured(name: str, n: int, context: MetricContext) -> MetricResult:
    return measure(find("metric", name), context.train.take(np.arange(n)), context)


def test_fd_over_components_of_the_whole_training_set(digits: MetricContext) -> None:
    result = _measured("fd-pca20", 1297, digits)
    assert result.name == "fd[pca20]"
    # Split and draws move these by about a tenth; the ratios between opponents are three and more.
    assert result.floor == pytest.approx(0.045, rel=0.15)
    assert result.opponents["mixture"] == pytest.approx(0.113, rel=0.2)
    assert result.opponents["gaussian"] == pytest.approx(0.195, rel=0.2)
    assert result.opponents["marginals"] == pytest.approx(0.82, rel=0.1)


def test_fd_over_the_classifier_ranks_the_opponents(digits: MetricContext) -> None:
    assert digits.classifier().accuracy > 0.96
    result = _measured("fd-classifier32", 1297, digits)
    # Another classifier of the same recipe scales these by up to a third; 22.4 belongs to a differently scaled one.
    assert result.floor == pytest.approx(0.69, rel=0.35)
    assert result.opponents["mixture"] == pytest.approx(1.84, rel=0.35)
    assert result.opponents["gaussian"] == pytest.approx(6.1, rel=0.35)
    assert result.opponents["marginals"] == pytest.approx(22.4, rel=0.5)


@pytest.mark.parametrize(
    ("name", "floor", "mixture"),
    [("precision", 0.98, 0.98), ("recall", 0.96, None), ("density", 1.07, 1.1), ("coverage", 0.94, 0.94)],
)
def test_neighbourhoods_of_training_digits(
    digits: MetricContext, name: str, floor: float, mixture: float | None
) -> None:
    result = _measured(name, 500, digits)
    assert result.floor == pytest.approx(floor, abs=0.05)
    if mixture is not None:
        assert result.opponents["mixture"] == pytest.approx(mixture, abs=0.05)
    assert result.opponents["marginals"] < result.opponents["gaussian"] < 0.8


def test_copies_of_training_samples_are_seen(digits: MetricContext) -> None:
    copied = _measured("nearest-train", 300, digits)
    assert copied.value == 0.0
    assert copied.floor == pytest.approx(1.0, abs=0.1)
    assert copied.lower_is_better is None
    new = measure(find("metric", "nearest-train"), digits.test.subset(500), digits)
    assert new.value == pytest.approx(1.0)
    assert new.opponents["marginals"] > 1.5


def test_class_agreement_counts_the_labels_asked_for(digits: MetricContext) -> None:
    component = find("metric", "class-agreement")
    right = measure(component, digits.test, digits)
    assert right.value == pytest.approx(digits.classifier().accuracy)
    assert right.floor == right.value
    assert right.opponents == {}
    shifted = digits.test.replace(labels=(digits.test.labels + 1) % 10)
    assert measure(component, shifted, digits).value < 0.02
    with pytest.raises(ConfigError, match="samples were drawn without labels"):
        measure(component, digits.test.replace(labels=None), digits)


def test_three_neighbours_learn_from_real_digits(digits: MetricContext) -> None:
    assert _measured("label-transfer", 1297, digits).value == pytest.approx(0.982, abs=0.008)


def test_a_floor_at_smaller_n_is_higher(digits: MetricContext) -> None:
    small, large = _measured("fd-pca20", 100, digits), _measured("fd-pca20", 1297, digits)
    assert small.floor is not None
    assert large.floor is not None
    assert small.floor > 3 * large.floor
    assert small.fingerprint.n == 100


def test_there_is_no_floor_beyond_the_training_set(digits: MetricContext) -> None:
    many = Samples(np.concatenate([digits.train.samples, digits.test.samples]), digits.spec)
    result = measure(find("metric", "fd-pca20"), many, digits)
    assert result.floor is None
    assert set(result.opponents) == {"mixture", "gaussian", "marginals"}


def test_references_come_from_the_cache_and_keep_their_value(
    digits: MetricContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _measured("precision", 120, digits)
    monkeypatch.setattr("genloom.metrics.measuring._real_and_simple", lambda *_: pytest.fail("measured again"))
    assert _measured("precision", 120, digits) == first


def test_scores_do_not_depend_on_the_stored_range(digits: MetricContext) -> None:
    spec = digits.spec.replace(value_range=(-7.0, 248.0))
    wide = MetricContext(*(Samples(part.samples * 255 - 7, spec) for part in (digits.train, digits.test)), spec)
    value = measure(find("metric", "fd-pca20"), wide.train.take(np.arange(200)), wide).value
    assert value == pytest.approx(_measured("fd-pca20", 200, digits).value, rel=1e-4)


def test_opponents_have_the_moments_of_the_training_data() -> None:
    rng = np.random.default_rng(0)
    train = rng.standard_normal((400, 5)) @ rng.standard_normal((5, 5)) + np.arange(5.0)
    for name, opponent in OPPONENTS.items():
        drawn = opponent(train, 20000, 3)
        assert drawn.mean(0) == pytest.approx(train.mean(0), abs=0.1), name
        assert drawn.var(0) == pytest.approx(train.var(0), rel=0.08), name
        assert np.array_equal(drawn, opponent(train, 20000, 3)), name
        correlation = np.corrcoef(drawn.T) - np.corrcoef(train.T)
        assert (np.abs(correlation).max() < 0.06) == (name != "marginals"), name


def test_a_mixture_in_components_stays_near_the_training_data() -> None:
    rng = np.random.default_rng(0)
    centres = 5 * rng.standard_normal((3, 150))
    train = centres[rng.integers(0, 3, 300)] + 0.1 * rng.standard_normal((300, 150))
    drawn = OPPONENTS["mixture"](train, 60, 0)
    nearest = np.linalg.norm(drawn[:, None] - centres, axis=2).min(1)
    assert nearest.max() < 3.0  # centres are about 87 apart; 150 values of noise 0.1 are 1.2 long


def test_components_are_orthonormal_signed_and_ordered(digits: MetricContext) -> None:
    features = pca_features(digits.values(digits.train))
    assert features.components @ features.components.T == pytest.approx(np.eye(20), abs=1e-9)
    largest = np.abs(features.components).argmax(1)
    assert (features.components[np.arange(20), largest] > 0).all()
    variance = features(digits.values(digits.train)).var(0)
    assert (np.diff(variance) < 0).all()
    assert features.restore(features(digits.train.samples)).shape == (1297, 64)
    assert pca_features(np.arange(12.0).reshape(6, 2)).name == "pca2"


def test_a_classifier_is_trained_once_and_read_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOM_CACHE", str(tmp_path))
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 400)
    x = rng.standard_normal((400, 3)) + 4 * label[:, None]
    first = classifier_features(x[:300], label[:300], hidden=8, test=(x[300:], label[300:]))
    assert first.accuracy > 0.97
    assert first.name == "classifier8"
    monkeypatch.setattr("genloom.metrics.features._train", lambda *_: pytest.fail("trained again"))
    again = classifier_features(x[:300], label[:300], hidden=8)
    assert again.digest == first.digest
    assert np.array_equal(again(x), first(x))
    assert (tmp_path / "metrics").stat().st_mode & 0o777 == 0o700


def test_the_classifier_is_the_one_that_scikit_learn_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.neural_network import MLPClassifier

    monkeypatch.setenv("GENLOOM_CACHE", str(tmp_path))
    rng = np.random.default_rng(0)
    label = rng.integers(3, 6, 300)
    x = rng.standard_normal((300, 2)) + 3 * label[:, None]
    ours = classifier_features(x, label, hidden=8)
    theirs = MLPClassifier((8,), random_state=0, max_iter=300)
    scaled = (x - x.mean(0)) / x.std()
    with pytest.warns(UserWarning):
        theirs.fit(scaled, label)
    assert ours.probabilities(x) == pytest.approx(theirs.predict_proba(scaled), abs=1e-9)
    assert np.array_equal(ours.predict(x), theirs.predict(scaled))


def test_a_damaged_cache_is_named_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENLOOM_CACHE", str(tmp_path))
    x, label = np.arange(40.0).reshape(20, 2), np.repeat([0, 1], 10)
    first = classifier_features(x, label, hidden=4)
    (stored,) = (tmp_path / "metrics").glob("*.npz")
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(content)
    assert np.array_equal(classifier_features(x, label, hidden=4)(x), first(x))
    assert "its hash is wrong" in capsys.readouterr().err


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="needs 4 labels of two classes"):
        classifier_features(np.zeros((4, 2)), [1, 1, 1, 1])


def test_default_metrics_are_those_that_apply(digits: MetricContext) -> None:
    def names(labelled: bool, conditional: bool) -> list[str]:
        return [c.id for c in choose(None, digits.spec, data_labelled=labelled, samples_labelled=conditional)]

    assert names(False, False) == [
        "fd-pca20",
        "kid-pca20",
        "precision",
        "recall",
        "density",
        "coverage",
        "nearest-train",
    ]
    assert names(True, True) == [
        *names(False, False)[:1],
        "fd-classifier32",
        *names(False, False)[1:],
        "class-agreement",
    ]
    assert choose(None, digits.spec.replace(kind="text"), data_labelled=False, samples_labelled=False) == []


def test_a_metric_by_its_reported_name_and_those_that_do_not_apply(digits: MetricContext) -> None:
    (metric,) = choose(["fd[pca20]"], digits.spec, data_labelled=True, samples_labelled=False)
    assert metric.id == "fd-pca20"
    with pytest.raises(ConfigError, match="no labels"):
        choose(["class-agreement"], digits.spec, data_labelled=True, samples_labelled=False)
    with pytest.raises(ConfigError, match="got text"):
        choose(["recall"], digits.spec.replace(kind="text"), data_labelled=True, samples_labelled=False)
    with pytest.raises(NotFoundError, match="precision"):
        choose(["precison"], digits.spec, data_labelled=True, samples_labelled=False)


def brightness(generated: Samples, context: MetricContext) -> float:
    """Mean value: what an author of a plugin would write."""
    return float(context.values(generated).mean())


def test_a_metric_of_another_author_gets_floor_and_opponents(
    digits: MetricContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    component = metric_component(
        "brightness", "another.author:brightness", "Mean value.", lower_is_better=None, default=False
    )
    load = type(component).load  # test modules have no importable name
    monkeypatch.setattr(type(component), "load", lambda self: brightness if self == component else load(self))
    result = measure(component, Samples(np.ones((50, 8, 8, 1)), digits.spec), digits)
    assert (result.name, result.value, result.n) == ("brightness", 1.0, 50)
    assert result.floor == pytest.approx(digits.train.samples.mean(), abs=0.02)
    assert result.opponents["marginals"] == pytest.approx(digits.train.samples.mean(), abs=0.02)
