"""Models that keep learning: the numbers' closed forms, sequences of tasks, and updates behind a gate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest

import genloom
from genloom.errors import ConfigError, DataError, NotFoundError, RunError
from genloom.runs import Run, open_run
from genloom_adapt import (
    average,
    backward_transfer,
    forgetting,
    forward_transfer,
    read_sequence,
    rollback,
    run_sequence,
    update,
)
from genloom_adapt.update_command import update as update_command

pytestmark = pytest.mark.long

# Rows: before any task, after one, two, three. Columns: tasks. Accuracies.
R = [[0.1, 0.2, 0.3], [0.9, 0.3, 0.3], [0.7, 0.8, 0.5], [0.6, 0.9, 0.7]]


@pytest.mark.any_engine
def test_the_measures_are_the_papers() -> None:
    assert average(R) == pytest.approx((0.6 + 0.9 + 0.7) / 3)
    assert backward_transfer(R) == pytest.approx(((0.6 - 0.9) + (0.9 - 0.8)) / 2)
    assert forward_transfer(R) == pytest.approx(((0.3 - 0.2) + (0.5 - 0.3)) / 2)
    assert forgetting(R) == pytest.approx([0.9 - 0.6, 0.8 - 0.9])
    losses = 1.0 - np.array(R)  # what is lower is better turns every sign but the average's
    assert average(losses, lower_is_better=True) == pytest.approx(1.0 - average(R))
    for measure in (backward_transfer, forward_transfer, forgetting):
        assert measure(losses, lower_is_better=True) == pytest.approx(measure(R))
    for wrong in (R[1:], [[0.1, np.nan], [1, 2], [1, 2]]):
        with pytest.raises(ConfigError, match="finite matrix"):
            average(wrong)


def save(file: Path, low: int, high: int, limit: int | None = None) -> str:
    """Write the digits low to high, and return their address."""
    digits = genloom.data.open("digits")
    parts = {}
    for name, split in (("x", digits.train), ("x_test", digits.test)):
        arrays = split.arrays()
        parts[name] = arrays["x"][(arrays["label"] >= low) & (arrays["label"] < high)][:limit]
    np.savez(file, **parts)
    return f"npz:{file}"


@pytest.fixture
def halves(tmp_path: Path) -> list[str]:
    return [save(tmp_path / "low.npz", 0, 5), save(tmp_path / "high.npz", 5, 10)]


def written(file: Path, halves: list[str], remedy: str, steps: int = 500) -> Path:
    tasks = "".join(f'[[tasks]]\nname = "{n}"\ndata = "{d}"\n' for n, d in zip(("low", "high"), halves, strict=True))
    training = f"[training]\nsteps = {steps}\nlearning_rate = 0.003\nvalidation = 0.0\nprogress = 'none'\n"
    file.write_text(f'model = "vae/mlp"\npreset = "tiny"\nremedy = "{remedy}"\n{training}{tasks}')
    return file


def test_a_sequence_forgets_and_adapters_of_its_own_for_each_task_do_not(halves: list[str], tmp_path: Path) -> None:
    found = {}
    for remedy in ("none", "adapters:rank=2"):
        file = written(tmp_path / "tasks.toml", halves, remedy)
        found[remedy] = run_sequence(file, tmp_path / remedy.partition(":")[0])
    naive, adapted = found["none"], found["adapters:rank=2"]
    assert naive["matrix"][:2] == adapted["matrix"][:2]  # the same first task
    assert naive["lower_is_better"]
    assert naive["forgetting"][0] > 0.5
    assert adapted["forgetting"] == [0.0]
    assert adapted["matrix"][2][1] < adapted["matrix"][1][1]  # and yet the second task was learned
    # The numbers are those of the runs.
    model, data = genloom.load(naive["runs"][1]), genloom.data.open(halves[0])
    from genloom.evaluation.heldout import losses

    assert naive["matrix"][2][0] == pytest.approx(losses(model, data.test)["loss"], rel=1e-6)
    assert (tmp_path / "none" / "sequence.png").stat().st_size > 1000
    page = (tmp_path / "none" / "report.html").read_text()
    assert f"<dt>Mean forgetting</dt><dd>{naive['mean_forgetting']:.4g}</dd>" in page
    assert all(name in page for name in (*naive["tasks"], *naive["runs"]))
    assert (page.count("<img"), page.count("<svg")) == (
        0,
        1 + len(naive["tasks"]),
    )  # the matrix, and the losses of each


@pytest.mark.any_engine
def test_a_sequence_that_was_stopped_goes_on_where_it_was(
    halves: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "tasks.toml", halves, "replay", steps=6)
    whole = run_sequence(file, tmp_path / "whole")
    trainings = []

    def stopped(*arguments: Any, **settings: Any) -> Any:
        trainings.append(settings["out"].name)
        if len(trainings) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **settings)

    train = genloom.train
    monkeypatch.setattr(genloom, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_sequence(file, tmp_path / "parts")
    monkeypatch.setattr(genloom, "train", train)
    again = run_sequence(file, tmp_path / "parts")
    assert again["matrix"] == whole["matrix"]
    with pytest.raises(ConfigError, match="another sequence"):
        run_sequence(written(tmp_path / "other.toml", halves, "none", steps=6), tmp_path / "parts")


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("remedy", "remdy"), "Unknown key 'remdy' .* Did you mean 'remedy'"),
        (("replay", "replya"), r"no remedy 'replya'\. Did you mean 'replay'"),
        (('name = "high"', 'name = "low"'), r"names of their own.*\['low', 'low'\]"),
        (('name = "high"', 'name = "../x"'), r"names of their own.*\['low', '../x'\]"),
        (("[[tasks]]", "[tasks]"), "is no TOML: Cannot declare"),
        (("data", "dta"), "Unknown key 'dta' in task 1"),
        (("[training]", "[training]\nclip = -1"), r"Option 'training\.clip' must be at least 0"),
        (('name = "high"', 'training.stpes = 3\nname = "high"'), r"'tasks\.high\.training\.stpes'\. Did you mean"),
        (('name = "high"', 'training = 3\nname = "high"'), r"tasks\.high\.training must be a table .*, got 3\."),
    ],
)
def test_a_wrong_sequence_is_refused_before_anything_is_trained(
    change: tuple[str, str], message: str, halves: list[str], tmp_path: Path
) -> None:
    file = written(tmp_path / "tasks.toml", halves, "replay")
    file.write_text(file.read_text().replace(*change))
    with pytest.raises((ConfigError, NotFoundError), match=message):
        read_sequence(file)
    with pytest.raises(ConfigError, match=r"There is no sequence .*absent"):
        read_sequence(tmp_path / "absent.toml")


@pytest.mark.any_engine
def test_tasks_of_other_classes_are_refused_before_anything_is_trained(halves: list[str], tmp_path: Path) -> None:
    labels = {"label": np.arange(40) % 3, "label_test": np.arange(20) % 3}
    pictures = {"x": np.zeros((40, 8, 8, 1), "float32"), "x_test": np.ones((20, 8, 8, 1), "float32")}
    np.savez(tmp_path / "three.npz", **pictures, **labels)
    file = written(tmp_path / "tasks.toml", [halves[0], f"npz:{tmp_path / 'three.npz'}"], "none")
    with pytest.raises(ConfigError, match=r"The tasks have different classes: low 0, high 3\."):
        run_sequence(file, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def saved(file: Path, names: str = "ab", mean: float = 0.0) -> str:
    """Write numbers of two classes, of deviation 1, and return their address."""
    x = (np.random.default_rng(0).normal(size=(60, 3)) + mean).astype("float32")
    np.savez(file, x=x, label=np.arange(60) % 2, class_names=list(names))
    return f"npz:{file}"


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": "ac"}, "has other classes than .*: class 1 is 'c' instead of 'b'"),
        ({"mean": 1e5}, r"has other units than .*: column 0 has 1e\+05 ± .* instead of "),
    ],
)
def test_other_classes_or_units_are_refused_before_anything_is_trained(
    changes: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = saved(tmp_path / "old.npz"), saved(tmp_path / "new.npz", **changes)
    quiet = {"options": {"latent": 1, "hidden": (4,)}, "sample_every": 0, "progress": "none", "batch_size": 20}
    run = genloom.train("vae/mlp", old, steps=1, out=tmp_path / "run", **quiet)
    with pytest.raises(ConfigError, match=message):
        update(run.path, new, steps=1)
    assert not (run.path / "updates").exists()
    with pytest.raises(ConfigError, match=f"Task 'high' {message}"):
        run_sequence(written(tmp_path / "tasks.toml", [old, new], "none"), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    if "names" in changes:  # adapters of other classes are wanted
        genloom.train("vae/mlp", new, steps=1, init_from=run.path, out=tmp_path / "onward", **quiet)
        assert len([line for line in capsys.readouterr().err.splitlines() if "class 1 is 'c'" in line]) == 1


SETTINGS: dict[str, Any] = {"learning_rate": 3e-3, "sample_every": 0, "progress": "none", "validation": 0.0}


@pytest.fixture
def base(halves: list[str], tmp_path: Path) -> Run:
    return based(halves, tmp_path, steps=500)


@pytest.fixture
def begun(halves: list[str], tmp_path: Path) -> Run:
    """For what does not ask how good it is."""
    return based(halves, tmp_path, steps=4)


def based(halves: list[str], folder: Path, steps: int) -> Run:
    run: Run = genloom.train("vae/mlp", halves[0], preset="tiny", steps=steps, out=folder / "run", **SETTINGS)
    return run


def drawn(run: Any) -> np.ndarray:
    return np.asarray(genloom.sample(run, 3, seed=1).samples)


def negative(file: Path, address: str) -> str:
    """Write data with dark for bright, which no model of the others knows, and return their address."""
    with np.load(address.removeprefix("npz:")) as arrays:
        turned: dict[str, Any] = {name: x.max() + x.min() - x for name, x in arrays.items()}
    np.savez(file, **turned)
    return f"npz:{file}"


@pytest.mark.any_engine
def test_an_update_counts_once_the_gate_lets_it_through_and_can_be_taken_back(
    base: Run, halves: list[str], tmp_path: Path
) -> None:
    before = drawn(base.path)
    refused = update(base.path, halves[1], tolerance=0.0, retain=None, steps=500)
    assert refused["decision"] == "rejected"
    assert [score["role"] for score in refused["scores"]] == ["new", "old"]
    assert refused["scores"][0]["passed"] and not refused["scores"][1]["passed"]
    assert np.array_equal(drawn(base.path), before)
    entry = update(base.path, halves[1], tolerance=0.5, retain="replay:share=0.5", steps=500)
    assert entry["decision"] == "promoted"
    assert entry["head"] == "updates/002"
    assert entry["scores"][1]["after"] < refused["scores"][1]["after"]  # replay keeps what was known
    after = drawn(base.path)
    assert not np.array_equal(after, before)
    assert np.array_equal(after, drawn(base.path / "updates" / "002"))
    assert np.array_equal(drawn(Run(base.path)), before)  # the run itself is as it was
    # A second update starts from the first, and asks about all data so far.
    dark = negative(tmp_path / "dark.npz", halves[1])
    third = update(base.path, dark, tolerance=1e6, steps=60)
    assert third["decision"] == "promoted" and third["head"] == "updates/003"
    assert open_run(base.path / "updates" / "003").config["training"]["init_from"].endswith("002")
    assert {score["data"] for score in third["scores"]} == {*halves, dark}
    assert rollback(base.path)["head"] == "updates/002"
    assert np.array_equal(drawn(base.path), after)
    assert rollback(base.path)["head"] == "."
    assert np.array_equal(drawn(base.path), before)
    with pytest.raises(ConfigError, match="no promoted update"):
        rollback(base.path)
    page = genloom.report.write(base.path).read_text()
    assert "rejected" in page and "promoted" in page and "rolled back" in page


@pytest.mark.any_engine
def test_an_update_that_was_killed_goes_on_and_a_moved_run_still_knows_its_past(
    begun: Run, halves: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drawn(begun.path)

    def killed(*arguments: Any, **settings: Any) -> Any:
        train(*arguments, **{**settings, "steps": 4})
        raise KeyboardInterrupt

    train = genloom.train
    monkeypatch.setattr(genloom, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        update(begun.path, halves[1], tolerance=9.0, steps=8)
    assert np.array_equal(drawn(begun.path), before)
    monkeypatch.setattr(genloom, "train", train)
    entry = update(begun.path, halves[1], tolerance=9.0, steps=8)
    assert entry["run"] == "updates/001"
    moved = tmp_path / "moved"
    shutil.move(begun.path, moved)
    again = update(moved, halves[1], tolerance=9.0, steps=2)
    assert {score["data"] for score in again["scores"]} == set(halves)


@pytest.mark.any_engine
def test_what_cannot_be_updated_is_refused_and_nothing_is_written(
    begun: Run, halves: list[str], tmp_path: Path
) -> None:
    for wrong, message in (
        ({"gate": "test_los"}, "no held-out loss 'test_los'"),
        ({"gate": "fd[pca"}, "There is no metric 'fd-pca'"),
        ({"gate": "density"}, "Of density neither more nor less is better"),
        ({"tolerance": -1.0}, "tolerance must not be negative"),
        ({"retain": "reply"}, "no remedy 'reply'"),
        ({"stesp": 3}, "Unknown option 'stesp'. Did you mean 'steps'"),
    ):
        with pytest.raises(genloom.errors.GenLoomError, match=message):
            update(begun.path, halves[1], **{"steps": 2, **wrong})
    with pytest.raises(ConfigError, match="has kind='signal', what"):
        update(begun.path, "toy:8-ring", steps=2)
    with pytest.raises(DataError, match=r"absent\.npz"):
        update(begun.path, "npz:absent.npz", steps=2)
    with pytest.raises(ConfigError, match="not a run"):
        update(tmp_path / "none", halves[1])
    assert not (begun.path / "lineage.jsonl").exists()
    save(tmp_path / "low.npz", 0, 5, limit=50)
    with pytest.raises(DataError, match="changed since"):
        update(begun.path, halves[1], steps=2)


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read: Expecting property name"),
        ('{"head": 3}\n', "cannot be read: an entry has no head"),
        ('{"head": "../../elsewhere"}\n', "which lies outside the run"),
    ],
)
def test_a_damaged_lineage_is_an_error_and_never_leads_outside_the_run(begun: Run, content: str, message: str) -> None:
    (begun.path / "lineage.jsonl").write_text(content)
    with pytest.raises(RunError, match=rf"lineage\.jsonl' .*{message}"):
        genloom.sample(begun.path, 1)


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("word", "told"),
    [
        (
            "clip=1",
            "got --set clip=1. A setting of the training is given as --set training.clip=1.",
        ),
        ("training.clip=x", "Option 'training.clip' needs a number or none, got 'x'."),
        ("training.clap=1", "Unknown option 'training.clap'. Did you mean 'training.clip'?"),
    ],
)
def test_an_update_takes_settings_as_a_training_does(word: str, told: str) -> None:
    done = click.testing.CliRunner().invoke(update_command, ["run", "--data", "digits", "--set", word])
    assert isinstance(done.exception, ConfigError)
    assert told in str(done.exception)


@pytest.mark.any_engine
def test_the_commands(base: Run, halves: list[str], tmp_path: Path, subprocess_env: Any, run_python: Any) -> None:
    def genloom_cli(*words: str) -> Any:
        return run_python("from genloom.cli.main import main; main()", *words, env=subprocess_env(), cwd=tmp_path)

    refused = genloom_cli(
        "update", "run", "--data", halves[1], "--retain", "none", "--steps", "500", "--tolerance", "0"
    )
    assert refused.returncode == 1, refused.stderr
    assert "refused" in refused.stdout and "rejected" in refused.stderr
    words = ("update", "run", "--data", halves[1], "--steps", "2", "--tolerance", "9", "--gate", "fd[pca20]", "--json")
    words += ("--set", "training.learning_rate=0.5")
    judged = genloom_cli(*words)
    entry = json.loads(judged.stdout)
    assert judged.returncode == (0 if entry["decision"] == "promoted" else 1)
    assert entry["gate"] == "fd[pca20]"
    assert Run(tmp_path / "run" / entry["run"]).config["training"]["learning_rate"] == 0.5
    assert genloom_cli("update", "run").returncode == 2
    assert genloom_cli("update", "absent", "--data", halves[1]).returncode == 2
    file = written(tmp_path / "tasks.toml", halves, "l2sp:strength=0.1", steps=4)
    told = genloom_cli("sequence", file.name, "--out", "tasks")
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[0].split("\t") == ["test_loss", "low", "high"]
    assert genloom_cli("sequence", "absent.toml", "--out", "tasks").returncode == 2
