"""Evaluation of a run with an injected sampler, and the table that keeps unlike scores apart."""

from __future__ import annotations

import errno
import json
import os
import types
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest

from genloom import data
from genloom.builtin.metrics import COMPONENTS
from genloom.cli.evaluate import evaluate as command
from genloom.data.samples import Samples
from genloom.errors import ConfigError, DataError, NotFoundError, RunError
from genloom.evaluation import evaluate as evaluation
from genloom.evaluation.compare import compare
from genloom.evaluation.evaluate import evaluate
from genloom.metrics import Fingerprint
from genloom.runs import Run, save

pytestmark = pytest.mark.any_engine


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.getbasetemp() / "metrics-cache"
    monkeypatch.setenv("GENLOOM_CACHE", str(folder))


def _run(folder: Path, *, seed: int = 0, model: str = "vae/conv", fingerprint: str | None = None) -> Run:
    folder.mkdir()
    run = Run(folder)
    digits = fingerprint or data.open("digits").fingerprint
    run.write_config(
        {
            "model": {"id": model, "preset": "tiny", "options": {"latent": 2}, "seed": seed},
            "data": {"address": "digits", "fingerprint": digits},
            "training": {"epochs": 1, "seed": seed, "batch_size": 64},
        }
    )
    run.append_log({"step": 5, "epoch": 0, "seconds": 1.0, "losses": {"loss": 3.0, "val_loss": 9.0}, "rates": {}})
    run.append_log({"step": 10, "epoch": 1, "seconds": 2.0, "losses": {"loss": 2.0, "val_loss": 2.5}, "rates": {}})
    return run


class Sampler:
    """Real digits with noise, so that more noise is a worse model."""

    def __init__(self, noise: float, *, labelled: bool = True, evaluations: int | None = None) -> None:
        self.noise, self.labelled, self.evaluations, self.calls = noise, labelled, evaluations, 0

    def __call__(self, n: int, seed: int) -> Samples:
        self.calls += 1
        rng = np.random.default_rng(seed)
        train = data.open("digits").train
        batch = train.take(rng.permutation(len(train))[:n])
        noisy = (batch["x"] + self.noise * rng.standard_normal(batch["x"].shape)).clip(0, 1)
        labels = batch["label"] if self.labelled else None
        return Samples(noisy, data.open("digits").spec, labels, evaluations=self.evaluations)


def _by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in document["results"]}


def test_evaluate_measures_everything_that_fits_and_writes_it(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    document = evaluate(run.path, sampler=Sampler(0.0, evaluations=50))
    results = _by_name(document)
    assert (document["schema_version"], document["n"], document["model"]) == (1, 500, "vae/conv")
    assert list(results) == [
        "fd[pca20]",
        "fd[classifier32]",
        "kid[pca20]",
        "precision",
        "recall",
        "density",
        "coverage",
        "nearest-train",
        "class-agreement",
        "seconds per 1,000 samples",
        "network evaluations",
        "val_loss",
    ]
    # Samples that are real score as the floor does; they are also seen to be copies.
    assert results["fd[pca20]"]["value"] == pytest.approx(results["fd[pca20]"]["floor"], abs=0.03)
    assert results["nearest-train"]["value"] == 0.0
    assert results["network evaluations"]["value"] == 50
    assert (results["val_loss"]["value"], results["val_loss"]["role"]) == (2.5, "loss")
    assert set(results["fd[pca20]"]["opponents"]) == {"mixture", "gaussian", "marginals"}
    assert json.loads((run.path / "metrics.json").read_text()) == run.metrics() == document["results"]


def test_a_worse_sampler_scores_worse_against_the_same_floor(tmp_path: Path) -> None:
    good = _by_name(evaluate(_run(tmp_path / "good"), sampler=Sampler(0.0)))
    bad = _by_name(evaluate(_run(tmp_path / "bad"), sampler=Sampler(0.4), seed=1))
    for name in ("fd[pca20]", "fd[classifier32]", "kid[pca20]"):
        assert bad[name]["value"] > 2 * good[name]["value"], name
        assert bad[name]["floor"] == good[name]["floor"]
    for name in ("precision", "coverage", "class-agreement"):
        assert bad[name]["value"] < good[name]["value"] - 0.1, name


def test_samples_without_labels_are_not_asked_for_agreement(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    assert "class-agreement" not in _by_name(evaluate(run, sampler=Sampler(0.0, labelled=False), n=100))
    with pytest.raises(ConfigError, match="class-agreement"):
        evaluate(run, ["class-agreement"], sampler=Sampler(0.0, labelled=False), n=100)


@pytest.mark.parametrize(
    ("first", "calls", "cost", "state"), [(30.0, 2, 2.0, "compiled"), (90.0, 1, 90.0, "first draw")]
)
def test_sampling_is_timed_after_its_first_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: float, calls: int, cost: float, state: str
) -> None:
    clock, sampler = types.SimpleNamespace(now=0.0), Sampler(0.0)

    def slow_at_first(n: int, seed: int) -> Any:
        clock.now += 2.0 if sampler.calls else first
        return sampler(n, seed)

    monkeypatch.setattr("genloom.evaluation.evaluate.time", types.SimpleNamespace(perf_counter=lambda: clock.now))
    document = evaluate(_run(tmp_path / "run"), ["precision"], sampler=slow_at_first, n=50)
    entry = _by_name(document)["seconds per 1,000 samples"]
    assert (sampler.calls, entry["role"]) == (calls, "cost")
    assert entry["value"] == pytest.approx(cost * 1000 / 50)
    assert entry["protocol"]["setting"].endswith(state)


def test_a_second_evaluation_adds_to_the_first(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    evaluate(run, ["precision"], sampler=Sampler(0.0), n=60)
    evaluate(run, ["recall"], sampler=Sampler(0.0), n=60)
    evaluate(run, ["recall"], sampler=Sampler(0.1), n=60)
    names = [entry["name"] for entry in run.metrics()]
    assert names.count("precision") == names.count("recall") == 1
    evaluate(run, ["recall"], sampler=Sampler(0.0), n=60, seed=1)
    assert [entry["name"] for entry in run.metrics() if entry["role"] == "score"] == ["recall"]


def test_scores_of_an_earlier_step_are_marked_and_go_when_measured_again(tmp_path: Path) -> None:
    runs = [_run(tmp_path / "a"), _run(tmp_path / "b")]
    for run in runs:
        save(run, 5, {"w": np.zeros(1)})
        document = evaluate(run, ["precision", "recall"], 20, sampler=Sampler(0.1))
        assert document["step"] == 5
        losses = [entry["value"] for entry in document["results"] if entry["name"] == "val_loss"]
        assert losses == [9.0]  # of step 5; that of step 10 is logged, but no weights of it are there
        assert not run.outdated
    save(runs[1], 10, {"w": np.zeros(1)})
    assert [(row["step"], row["outdated"]) for row in compare(runs)["rows"]] == [(5, False), (5, True)]
    evaluate(runs[1], ["precision"], 20, sampler=Sampler(0.1))
    assert [(row["step"], row["outdated"]) for row in compare(runs)["rows"]] == [(5, False), (10, False)]
    assert "recall" not in {entry["name"] for entry in runs[1].metrics()}


def test_a_damaged_file_of_scores_is_written_anew_and_that_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = _run(tmp_path / "run")
    (run.path / "metrics.json").write_text('[{"name": "fd')
    evaluate(run, ["precision"], 20, sampler=Sampler(0.1))
    assert "metrics.json' cannot be read" in (told := capfd.readouterr().err) and "written anew" in told
    assert "precision" in {entry["name"] for entry in run.metrics()}


def test_a_full_disk_loses_no_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _run(tmp_path / "run")

    def refused(_: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    kept = evaluate(run, ["precision"], 20, sampler=Sampler(0.1), write=False)
    assert not (run.path / "metrics.json").exists()
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, write, **__: None if write else kept)
    monkeypatch.setattr(Path, "write_bytes", refused)
    for words in ((), ("--json",)):
        done = click.testing.CliRunner().invoke(command, [str(run.path), *words])
        assert done.exit_code == 1
        assert "metrics.json' could not be written: No space left on device. Free some space" in done.stderr
        found = {e["name"] for e in json.loads(done.stdout)["results"]} if words else done.stdout
        assert "precision" in found


def test_changed_data_infinite_samples_and_wrong_n_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="changed since this run was trained"):
        evaluate(_run(tmp_path / "changed", fingerprint="0" * 16), sampler=Sampler(0.0))
    run = _run(tmp_path / "run")
    with pytest.raises(RunError, match="40 of 40"):
        evaluate(run, sampler=Sampler(float("nan")), n=40)
    with pytest.raises(ConfigError, match="n must be at least 1, got 0"):
        evaluate(run, sampler=Sampler(0.0), n=0)
    with pytest.raises(ConfigError, match="not a run"):
        evaluate(tmp_path / "nowhere", sampler=Sampler(0.0))
    assert run.metrics() == []


def test_metrics_that_need_more_samples_are_skipped_by_name_unless_they_were_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = _run(tmp_path / "run")
    found = _by_name(evaluate(run, sampler=Sampler(0.1), n=4))
    told = capfd.readouterr().err.splitlines()
    skipped = ["precision", "recall", "density", "coverage"]
    assert told == [f"genloom: warning: {name} needs 6 samples, 4 are drawn: skipped." for name in skipped]
    assert "kid[pca20]" in found and not set(skipped) & set(found)
    with pytest.raises(DataError, match=r"^precision needs 6 samples, 4 are drawn\."):
        evaluate(run, ["kid[pca20]", "precision"], sampler=Sampler(0.1), n=4)
    assert "precision" in _by_name(evaluate(run, ["precision"], sampler=Sampler(0.1), n=6))
    capfd.readouterr()
    evaluate(run, sampler=Sampler(0.1), n=4, post=["clip"])
    assert capfd.readouterr().err.splitlines() == told  # once, and not once more after post-processing


def test_few_held_out_samples_leave_the_other_metrics(capfd: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).random((40, 3))
    dataset = data.open(x)
    drawn = Samples(x[:9].astype("float32"), dataset.spec)
    names = [result.name for result in evaluation.scores(None, drawn, dataset)]
    assert "precision needs 6 samples, 4 are held out: skipped." in capfd.readouterr().err
    assert "nearest-train" in names and "precision" not in names


@pytest.mark.parametrize("name", [m.id for m in COMPONENTS if m.metric.needs_samples > 1])
def test_every_metric_works_on_as_few_samples_as_it_says(name: str) -> None:
    dataset, sampler = data.open("digits"), Sampler(0.1)
    (metric,) = (m for m in COMPONENTS if m.id == name)
    drawn = sampler(metric.metric.needs_samples, 0)
    (result,) = evaluation.scores([name], Samples(drawn.samples, dataset.spec, drawn.labels), dataset)
    assert np.isfinite(result.value)


def test_scores_of_different_n_never_share_a_column(tmp_path: Path) -> None:
    first, second = _run(tmp_path / "first"), _run(tmp_path / "second", model="gan/dcgan")
    evaluate(first, ["fd[pca20]"], sampler=Sampler(0.0), n=500)
    evaluate(second, ["fd[pca20]"], sampler=Sampler(0.0), n=100)
    comparison = compare([first, second])
    columns = [i for i, column in enumerate(comparison["columns"]) if column["name"] == "fd[pca20]"]
    assert [comparison["columns"][i]["n"] for i in columns] == [500, 100]
    values = [[row["values"][i] for i in columns] for row in comparison["rows"]]
    assert [[value is None for value in row] for row in values] == [[False, True], [True, False]]


def test_losses_of_different_models_never_share_a_column(tmp_path: Path) -> None:
    runs = [_run(tmp_path / "first"), _run(tmp_path / "second", model="gan/dcgan")]
    for run in runs:
        evaluate(run, ["precision"], sampler=Sampler(0.0), n=50)
    names = [column["name"] for column in compare(runs)["columns"]]
    assert names.count("precision") == 1
    assert names.count("val_loss") == 2


def test_the_table_holds_floor_opponents_and_spread_over_seeds(tmp_path: Path) -> None:
    runs = [_run(tmp_path / f"seed-{seed}", seed=seed) for seed in (1, 2, 3)]
    runs.append(_run(tmp_path / "other", model="gan/dcgan"))
    for noise, run in zip((0.0, 0.1, 0.2, 0.3), runs, strict=True):
        evaluate(run, ["coverage"], sampler=Sampler(noise), n=200)
    comparison = compare(runs)
    column = [entry["name"] for entry in comparison["columns"]].index("coverage")
    values = [row["values"][column] for row in comparison["rows"]]
    (spread,) = comparison["spread"]
    assert (spread["model"], spread["seeds"]) == ("vae/conv", [1, 2, 3])
    assert spread["values"][column]["mean"] == pytest.approx(np.mean(values[:3]))
    assert spread["values"][column]["deviation"] == pytest.approx(np.std(values[:3], ddof=1))
    references = {row["name"]: row["values"][column] for row in comparison["references"]}
    assert list(references) == ["floor", "mixture", "gaussian", "marginals"]
    assert references["floor"] > references["mixture"] > references["marginals"]
    json.dumps(comparison)


def test_a_collapsed_sampler_of_a_ring_shows_in_its_modes(tmp_path: Path) -> None:
    ring = data.open("toy:8-ring", n=2500)
    points = ring.train.arrays()["x"]
    collapsed = points[np.abs(np.arctan2(points[:, 1], points[:, 0])) < np.pi / 8]
    run = _run(tmp_path / "run", fingerprint=ring.fingerprint)

    def sampler(n: int, seed: int) -> Samples:
        return Samples(np.resize(collapsed, (n, 2)), ring.spec)

    results = _by_name(evaluate(run, ["modes", "mode-share", "mode-kl"], sampler=sampler, dataset=ring))
    assert (results["modes"]["value"], results["modes"]["floor"]) == (1.0, 8.0)
    assert results["mode-share"]["floor"] == pytest.approx(0.989, abs=0.015)
    assert results["mode-kl"]["value"] == pytest.approx(np.log(8))
    assert results["mode-kl"]["floor"] < 0.03
    assert results["modes"]["opponents"]["marginals"] >= 4
    with pytest.raises(ConfigError, match="such as toy:8-ring"):
        evaluate(_run(tmp_path / "digits"), ["modes"], sampler=Sampler(0.0), n=20)


def test_runs_that_were_not_measured_do_not_compare(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="genloom evaluate"):
        compare([_run(tmp_path / "run")])
    with pytest.raises(ConfigError):
        compare([])


def test_every_field_of_a_fingerprint_matters() -> None:
    base = Fingerprint("fd[pca20]", "abc", 500, 500, "pca20", "d", (8, 8, 1))
    assert base == Fingerprint("fd[pca20]", "abc", 500, 500, "pca20", "d", (8, 8, 1))
    changes: dict[str, Any] = {
        "metric": "kid[pca20]",
        "data": "abd",
        "n": 499,
        "reference_n": 499,
        "features": "pca19",
        "features_digest": "e",
        "shape": (8, 8, 3),
        "resizing": "bilinear 28",
        "setting": "x",
        "revision": 0,
    }
    assert set(changes) == set(base.to_dict())
    for field, value in changes.items():
        other = Fingerprint(**{**base.to_dict(), "shape": base.shape, field: value})
        assert base != other, field
        assert other.digest != base.digest, field


def test_post_processing_is_measured_beside_what_it_was_given(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    sampler = Sampler(0.1)
    document = evaluate(run, ["fd-pca20", "precision"], sampler=sampler, post=["threshold", "clip"])
    before = {entry["name"]: entry for entry in document["results"] if entry["role"] == "score"}
    after = {entry["name"]: entry for entry in document["results"] if entry["role"] == "post"}
    assert set(before) == set(after) == {"fd[pca20]", "precision"}
    assert {tuple(entry["post"]) for entry in after.values()} == {("threshold", "clip")}

    def black_and_white(n: int, seed: int) -> Samples:
        drawn = Sampler(0.1)(n, seed)
        return drawn.replace(samples=(drawn.samples >= 0.5).astype("float32"))

    other = _run(tmp_path / "other")
    expected = _by_name(evaluate(other, ["fd-pca20", "precision"], sampler=black_and_white))
    for name, entry in after.items():
        assert entry["value"] == pytest.approx(expected[name]["value"])
        assert entry["value"] != pytest.approx(before[name]["value"])
        assert entry["fingerprint"] == before[name]["fingerprint"]  # one protocol, so the two compare
    assert {path.name for path in (run.path / "samples").iterdir()} == {"post-before.png", "post-after.png"}
    # A table of runs compares what their models draw.
    table = compare([run, other])
    fd = [column["name"] for column in table["columns"]].index("fd[pca20]")
    assert [row["values"][fd] for row in table["rows"]] == [
        before["fd[pca20]"]["value"],
        expected["fd[pca20]"]["value"],
    ]


def test_what_is_no_longer_like_the_data_is_shown_and_not_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run(tmp_path / "run")
    document = evaluate(run, ["precision"], n=50, sampler=Sampler(0.0), post=["upscale:factor=2"])
    assert not [entry for entry in document["results"] if entry["role"] == "post"]
    assert "image of (16, 16, 1)" in capsys.readouterr().err
    assert (run.path / "samples" / "post-after.png").exists()


def test_a_chain_that_does_not_fit_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    sampler = Sampler(0.0)
    with pytest.raises(NotFoundError, match="threshold"):
        evaluate(_run(tmp_path / "run"), sampler=sampler, post=["treshold"])
    assert sampler.calls == 0


def test_held_out_values_have_the_direction_their_model_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import genloom

    run = genloom.train(
        "vae/mlp", "digits", preset="tiny", steps=2, sample_every=0, out=tmp_path / "run", progress="none"
    )
    entries = _by_name(evaluate(run, ["precision"], n=50))
    found = {name: entries[name]["lower_is_better"] for name in ("test_loss", "test_reconstruction", "test_kl")}
    assert found == {"test_loss": True, "test_reconstruction": None, "test_kl": None}
    from genloom_vae.model import VAE

    monkeypatch.setattr(VAE, "directions", {"kl": False})
    entries = _by_name(evaluate(run, ["precision"], n=50))
    assert [entries[f"test_{name}"]["lower_is_better"] for name in ("reconstruction", "kl")] == [True, False]
