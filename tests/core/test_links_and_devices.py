"""What stands in the place of a run's files is never written through; an output that is full or closed is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genloom.errors import DamagedRunError, DiskError
from genloom.files.atomic import make_folder, write_atomic
from genloom.runs import Run, create_run, list_runs

pytestmark = pytest.mark.any_engine

CALL = [sys.executable, "-c", "from genloom.cli.main import main; main()"]
needs_unix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs Unix")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = create_run(tmp_path / "run")
    made.write_config({"model": {"id": "vae/mlp"}})
    return made


@needs_unix
def test_a_link_in_a_run_is_not_written_through(run: Run, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    for name in ("run.lock", "log.jsonl"):
        (run.path / name).symlink_to(tmp_path / "precious")
        with pytest.raises(DiskError, match=name) as refused, run.lock():
            run.append_log({"step": 1})
        assert refused.value.mend == "A link stands in its place, which is not followed: remove it."
        (run.path / name).unlink()
    assert (tmp_path / "precious").read_text() == "kept"


@needs_unix
def test_a_pipe_or_a_device_is_not_replaced(run: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(DiskError, match="it is a device or a pipe"):
        write_atomic(pipe, b"a report")
    (tmp_path / "link").symlink_to("/dev/null")
    with pytest.raises(DiskError, match="it is a device or a pipe"):
        write_atomic(tmp_path / "link", b"a report")
    assert pipe.is_fifo() and (tmp_path / "link").is_symlink()
    with pytest.raises(DiskError, match="File exists") as refused:
        make_folder(pipe)
    assert "A file stands where a folder should be" in (refused.value.mend or "")
    os.mkfifo(run.path / "log.jsonl")
    with pytest.raises(DiskError, match="it is not a plain file"):
        run.append_log({"step": 1})


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--version"], ["list", "models"], ["list", "models", "--json"]])
def test_a_full_output_is_told(words: list[str], tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*CALL, *words],
            env=subprocess_env(),
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: The output could not be written: No space left on device. Send it elsewhere.\n"


@needs_unix
def test_a_closed_output_is_no_error(tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *CALL, "list", "models"]
    done = subprocess.run(command, env=subprocess_env(), cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", r"\[model\] names no id"),
        ('model = "x"', "model is not a table"),
        ('training = 3\n[model]\nid = "vae/mlp"', "training is not a table"),
        ('training = {post = 3}\n[model]\nid = "vae/mlp"', r"training\.post = 3 is not a list"),
        ('[model]\nid = "vae/mlp"\nseed = true', r"model\.seed = True is not a whole number"),
        ('[model]\nid = "vae/mlp"\npreset = 3', r"model\.preset = 3 is not text"),
        ('stretches = 3\n[model]\nid = "vae/mlp"', "stretches is not a list of tables"),
    ],
)
def test_a_run_of_another_form_is_damaged(text: str, wrong: str, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    (run.path / "run.toml").write_text(text)
    with pytest.raises(DamagedRunError, match=wrong):
        run.config  # noqa: B018 - reading it is the check
    (row,) = list_runs(run.path)
    assert row["status"] == "damaged"
    assert "run.toml" in capfd.readouterr().err


def test_what_a_trained_run_must_state_is_named(run: Run) -> None:
    with pytest.raises(DamagedRunError, match=r"run\.toml' has no seed in \[training\]\."):
        run.stated("training", "seed")
    assert run.stated("model", "id") == "vae/mlp"
