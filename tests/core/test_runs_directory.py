"""Run directories: refusals, the log under kills, the lock between processes, and the listing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from genloom.cli.runs import runs
from genloom.errors import ConfigError, RunError
from genloom.runs import Run, create_run, list_runs, open_run, retention, save
from genloom.runs.going_on import way_on

pytestmark = pytest.mark.any_engine

CONFIG = {
    "model": {"id": "vae/conv", "preset": None, "seed": 3, "options": {"latent": 16, "widths": (32, 64)}},
    "data": {"address": "digits", "fingerprint": "0123456789abcdef"},
    "training": {"epochs": 3, "steps_per_epoch": 10, "backend": "jax"},
}
WEIGHTS = {"model/w": np.zeros(3, np.float32)}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = create_run(tmp_path / "run")
    made.write_config(CONFIG)
    return made


def line(step: int, **extra: object) -> dict:
    return {
        "step": step,
        "epoch": 1,
        "seconds": 0.5 * step,
        "losses": {"loss": 1.0 / step},
        "rates": {"main": 1e-3},
    } | extra


def test_the_configuration_comes_back_without_its_empty_values(run: Run) -> None:
    expected = json.loads(json.dumps(CONFIG))
    del expected["model"]["preset"]
    assert run.config == expected
    assert [p.name for p in run.path.iterdir() if p.name.startswith(".")] == []


def test_a_folder_that_is_no_run_is_a_configuration_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigError, match="is not a run") as error:
            open_run(path)
        assert error.value.exit_code == 2
    (tmp_path / "run.toml").write_text("[model\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        open_run(tmp_path)


def test_create_run_refuses_what_is_there(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--resume"):
        create_run(run.path)
    assert create_run(run.path, resume=True).config == run.config
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter1.tex").write_text("…")
    for resume in (False, True):
        with pytest.raises(ConfigError, match="not empty"):
            create_run(foreign, resume=resume)
    with pytest.raises(ConfigError, match="is a file"):
        create_run(foreign / "chapter1.tex")


def test_a_run_killed_before_its_configuration_was_written_can_begin_again(tmp_path: Path) -> None:
    create_run(tmp_path / "run")
    (tmp_path / "run" / "run.lock").write_text("")
    assert create_run(tmp_path / "run").path.is_dir()
    assert not create_run(tmp_path / "run", resume=True).exists


def test_a_torn_last_line_is_passed_over_and_then_replaced(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.append_log(line(1))
    run.append_log(line(2))
    whole = (run.path / "log.jsonl").read_bytes()
    for cut in range(whole.index(b"\n") + 2, len(whole)):
        (run.path / "log.jsonl").write_bytes(whole[:cut])
        assert [entry["step"] for entry in run.log()] == [1]
    run.append_log(line(3))
    assert [entry["step"] for entry in run.log()] == [1, 3]
    assert capsys.readouterr().err == ""


def test_a_long_torn_line_is_removed_whole(run: Run) -> None:
    run.append_log(line(1))
    with open(run.path / "log.jsonl", "ab") as handle:
        handle.write(b'{"step": 2, "text": "' + b"x" * 10_000)
    run.append_log(line(2))
    assert [entry["step"] for entry in run.log()] == [1, 2]


def test_a_damaged_line_in_the_middle_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.append_log(line(1))
    with open(run.path / "log.jsonl", "ab") as handle:
        handle.write(b"\x00\xff\n")
    run.append_log(line(3))
    assert [entry["step"] for entry in run.log()] == [1, 3]
    assert "line 2" in capsys.readouterr().err


def test_the_log_is_strict_json(run: Run) -> None:
    run.append_log(line(1, losses={"loss": np.float32(0.5), "kl": float("nan"), "steps": np.int64(4)}))
    text = (run.path / "log.jsonl").read_text()
    assert "NaN" not in text
    assert next(run.log())["losses"] == {"loss": 0.5, "kl": None, "steps": 4}


def test_rewinding_drops_what_a_resume_writes_again(run: Run) -> None:
    for step in (10, 20, 30):
        run.append_log(line(step))
    run.finish(30, 3, 15.0)
    run.rewind_log(20)
    assert [entry["step"] for entry in run.log()] == [10, 20]
    assert run.status == "interrupted"


def test_status_follows_the_log(run: Run) -> None:
    assert run.status == "interrupted"
    run.append_log(line(20))
    assert run.status == "interrupted"
    run.append_log(line(30))  # three epochs of ten steps were planned, but the end was not saved
    assert run.status == "interrupted"
    save(run, 30, WEIGHTS)
    run.finish(30, 3, 15.0)
    assert run.status == "finished"


def test_a_finished_run_whose_checkpoint_is_gone_is_damaged(run: Run) -> None:
    for step in (20, 30):
        run.append_log(line(step))
        save(run, step, WEIGHTS)
    run.finish(30, 3, 15.0)
    for saved, told in ((20, "step 20"), (None, "nothing")):
        shutil.rmtree(run.checkpoints()[-1])
        (row,) = list_runs(run.path)
        assert (row["status"], row["saved"]) == ("damaged", saved)
        assert f"damaged, {told} saved" in CliRunner().invoke(runs, [str(run.path)]).stdout
    assert way_on(run) == f"There is no checkpoint to resume from; remove {str(run.path)!r} to begin again."


def test_stopping_early_is_finished_once_said(run: Run) -> None:
    run.append_log(line(12))
    save(run, 12, WEIGHTS)
    run.finish(12, 2, 6.0)
    assert run.status == "finished"


def test_pictures_are_in_the_order_of_their_epochs(run: Run) -> None:
    for name in ("epoch-0010.png", "epoch-0002.png", "epoch-12000.png", "real.png", "post-1-clip.png", "epoch-x.png"):
        (run.path / "samples" / name).write_bytes(b"")
    assert [p.name for p in run.samples()] == ["epoch-0002.png", "epoch-0010.png", "epoch-12000.png"]


def test_metrics_come_back_and_a_damaged_file_is_an_error(run: Run) -> None:
    assert run.metrics() == []
    run.write_metrics([{"metric": "fd[pixels]", "value": np.float64(1.5), "floor": float("inf")}])
    assert run.metrics() == [{"metric": "fd[pixels]", "value": 1.5, "floor": None}]
    for text in ("[", "{}", "[1]"):
        (run.path / "metrics.json").write_text(text)
        with pytest.raises(RunError, match=r"metrics\.json"):
            run.metrics()


HOLD = """
import sys
from genloom.runs import Run
with Run(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def held(run: Run) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_two_processes_do_not_write_one_run(run: Run) -> None:
    with held(run) as process:
        assert run.status == "running"
        with pytest.raises(ConfigError, match=f"process {process.pid} on") as error, run.lock():
            pass
        assert error.value.mend
        process.stdin.close()
        process.wait()
    assert run.status == "interrupted"
    with run.lock():
        assert run.status == "running"


def test_the_lock_of_a_killed_process_is_stale(run: Run) -> None:
    with held(run) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (run.path / "run.lock").exists()
    assert run.status == "interrupted"
    with run.lock(), run.lock():  # the same object may enter again
        assert json.loads((run.path / "run.lock").read_text())["pid"] == os.getpid()
    assert not (run.path / "run.lock").exists()


def test_a_process_id_given_to_a_younger_process_is_stale(run: Run) -> None:
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "started": 1.0}
    (run.path / "run.lock").write_text(json.dumps(owner))
    assert run.status == "interrupted"
    with run.lock():
        assert run.status == "running"


def test_a_lock_of_another_host_says_whose_it_is_and_how_it_ends(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = {"pid": 7, "host": "node3", "started": time.time() - 5.5 * 3600}
    lock = run.path / "run.lock"
    lock.write_text(json.dumps(owner))
    told = f"process 7 on node3, which began 5.5 hours ago. If that process no longer runs, remove '{lock}'."
    assert [row["status"] for row in list_runs(run.path)] == ["running"]
    assert told in capsys.readouterr().err
    assert retention.plan(run).why == f"it is being written by {told}"
    monkeypatch.setattr("filelock.lock_descriptor", lambda handle, blocking: False)  # held there, over a shared disk
    with pytest.raises(ConfigError, match=r"which began 5\.5 hours ago\..* If that process no longer runs"), run.lock():
        pass
    lock.write_text(json.dumps({**owner, "host": socket.gethostname(), "started": time.time() - 1e6}))
    with pytest.raises(ConfigError, match=r"which began 11\.6 days ago") as error, run.lock():
        pass
    assert "remove" not in str(error.value)


def test_the_listing_has_one_row_per_run(run: Run, tmp_path: Path) -> None:
    run.append_log(line(10))
    run.append_log(line(20, losses={"loss": 0.25}))
    deep = create_run(tmp_path / "demo" / "gan")
    deep.write_config({"model": {"id": "gan/dcgan"}})
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "run.toml").write_text("=")
    (tmp_path / "notes.txt").write_text("")
    rows = list_runs(tmp_path)
    assert [Path(row["path"]).relative_to(tmp_path).as_posix() for row in rows] == ["broken", "demo/gan", "run"]
    assert [row["status"] for row in rows] == ["damaged", "interrupted", "interrupted"]
    expected = {"path": str(run.path), "id": "vae/conv", "data": "digits", "engine": "jax", "seed": 3, "step": 20}
    expected |= {"steps": 30, "losses": {"loss": 0.25}, "seconds": 10.0, "status": "interrupted"}
    expected |= {"saved": None, "scored": None, "outdated": False, "history": None}
    assert rows[-1] == expected


def test_the_listing_says_what_is_saved_and_which_scores_are_of_another_step(run: Run, tmp_path: Path) -> None:
    def row() -> tuple[object, ...]:
        (found,) = list_runs(tmp_path)
        return found["step"], found["saved"], found["scored"], found["outdated"]

    run.append_log(line(20))
    save(run, 10, {"w": np.zeros(2)})
    assert row() == (20, 10, None, False)
    run.write_metrics([{"name": "fd[pixels]", "value": 1.0, "step": 10}])
    assert row() == (20, 10, 10, False)
    save(run, 20, {"w": np.zeros(2)})
    assert row() == (20, 20, 10, True)
    (run.path / "metrics.json").write_text("[")
    assert row() == (20, 20, None, False)


def test_listing_what_is_no_folder_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        list_runs(tmp_path / "absent")


def test_reading_runs_imports_neither_keras_nor_an_engine() -> None:
    code = "import sys, genloom.runs, genloom.report; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"keras", "jax", "torch", "tensorflow", "matplotlib", "numpy"}.isdisjoint(loaded)
