"""`genloom runs prune`: the newest and the best stay, nothing goes unasked, and a run that is being written is left."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloom.errors import ConfigError, RunError
from genloom.runs import Run, create_run, load_latest, manifest, pruning, retention, save

pytestmark = pytest.mark.any_engine

Genloom = Callable[..., subprocess.CompletedProcess[str]]

LOSSES = {1: 3.0, 2: 0.5, 3: 2.0, 4: 0.9, 5: 1.0, 6: 1.5}


def made(path: Path, **training: Any) -> Run:
    run = create_run(path)
    run.write_config({"model": {"id": "a"}, "training": training})
    for step, loss in LOSSES.items():
        save(run, step, {"w": np.full(4, step)}, {"metrics": {"val_loss": loss, "fid": -loss}}, keep=9)
    return run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return made(tmp_path / "runs" / "one")


def steps(run: Run) -> list[int | None]:
    return [manifest.step_of(folder) for folder in run.checkpoints()]


@pytest.mark.parametrize(
    ("training", "asked", "kept"),
    [
        ({}, {}, [2, 5, 6]),
        ({"keep": 3}, {}, [2, 4, 5, 6]),
        ({"keep": 3}, {"keep": 2}, [2, 5, 6]),
        ({"best": "fid"}, {}, [1, 5, 6]),
        ({"best": "fid", "best_mode": "max"}, {}, [2, 5, 6]),
        ({"best": "fid"}, {"best": "val_loss", "best_mode": "max", "keep": 4}, [1, 3, 4, 5, 6]),
        ({"keep": "many", "best": 3}, {}, [2, 5, 6]),
    ],
)
def test_the_newest_and_the_best_stay(tmp_path: Path, training: dict, asked: dict, kept: list[int]) -> None:
    run = made(tmp_path / "run", **training)
    planned = retention.plan(run, **asked)
    assert steps(run) == list(LOSSES)
    assert planned.bytes == sum(file.stat().st_size for folder in planned.removed for file in folder.iterdir())
    done = retention.carry_out(planned)
    assert steps(run) == [manifest.step_of(folder) for folder in done.kept] == kept
    assert len(done.removed) == len(LOSSES) - len(kept)
    assert all(entry.name.startswith("step-") for entry in (run.path / "checkpoints").iterdir())
    assert retention.plan(run, **asked).removed == ()


def test_damaged_checkpoints_are_not_counted_among_the_newest(run: Run) -> None:
    for step in (5, 6):
        (run.path / "checkpoints" / manifest.folder_name(step) / manifest.STATE).write_bytes(b"")
    retention.carry_out(retention.plan(run, keep=2))
    assert steps(run) == [2, 3, 4, 5, 6]  # 3 and 4 are the newest two that are whole, 2 is the best
    for folder in run.checkpoints():
        (folder / manifest.STATE).write_bytes(b"")
    planned = retention.plan(run, keep=2)
    assert (planned.removed, planned.why) == ((), "no checkpoint is whole")


def test_nothing_goes_by_a_number_that_no_checkpoint_states(run: Run) -> None:
    planned = retention.plan(run, best="val_los")
    assert (planned.removed, planned.why) == ((), "no checkpoint states 'val_los'")
    with pytest.raises(ConfigError, match=r"At least 2 checkpoints are kept, .* got 1\."):
        retention.plan(run, keep=1)


def test_a_run_that_is_being_written_is_left_alone(run: Run) -> None:
    planned = retention.plan(run)
    with Run(run.path).lock():
        assert retention.plan(run).why == retention.carry_out(planned).why == "it is being written"
        assert steps(run) == list(LOSSES)
    assert retention.carry_out(planned).why is None
    assert steps(run) == [2, 5, 6]


def test_what_a_killed_deletion_left_goes_too(run: Run) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    left = run.path / "checkpoints" / f"{pruning.REMOVED}step-00000000-{process.pid}-00000000"
    left.mkdir()
    retention.carry_out(retention.plan(run))
    assert not left.exists()


def test_a_refusal_of_the_disk_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(RunError, match=r"step-00000001' could not be written: Permission denied"):
        retention.carry_out(retention.plan(run))


def test_the_command_shows_asks_and_deletes(run: Run, genloom: Genloom, tmp_path: Path) -> None:
    made(tmp_path / "runs" / "two", keep=5)
    (tmp_path / "runs" / "bad").mkdir()
    (tmp_path / "runs" / "bad" / "run.toml").write_text("=")
    shown = genloom("runs", "prune", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    rows = [line.split("\t")[:3] for line in shown.stdout.splitlines()[1:]]
    assert rows == [["runs/bad", "0", "0"], ["runs/one", "3", "3"], ["runs/two", "5", "1"]]
    unasked = genloom("runs", "prune")
    assert unasked.returncode == 2 and "There is no terminal to ask on. Give --yes" in unasked.stderr
    assert steps(run) == list(LOSSES)
    done = genloom("runs", "prune", "runs/one", "--keep", "2", "--best", "fid", "--yes", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["dry_run"] is False
    assert [Path(folder).name for folder in told["runs"][0]["kept"]] == [
        "step-00000001",
        "step-00000005",
        "step-00000006",
    ]
    assert steps(run) == [1, 5, 6]
    again = genloom("runs", "prune", "runs/one", "--best", "fid")
    assert again.returncode == 0 and "There is nothing to delete in runs/one." in again.stderr
    assert load_latest(run)[1]["step"] == 6


def test_runs_still_lists_with_and_without_a_folder(run: Run, genloom: Genloom) -> None:
    listed = [genloom(*words) for words in (("runs",), ("runs", "runs"), ("runs", "list", "runs"))]
    assert [each.returncode for each in listed] == [0, 0, 0]
    assert listed[0].stdout == listed[1].stdout == listed[2].stdout
    assert "runs/one\ta" in listed[0].stdout
    assert json.loads(genloom("runs", "--json").stdout)["runs"][0]["saved"] == 6
