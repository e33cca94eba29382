"""A disk that is full or may not be written to, and folders that vanish: one error with file, cause and mend."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import safetensors

import genloom
import genloom.report
from genloom.data import DataSpec
from genloom.data.check import check
from genloom.data.samples import Samples
from genloom.errors import DiskError, RunError
from genloom.files import atomic as files
from genloom.files.atomic import writing
from genloom.modalities.writing import write
from genloom.plugins.discovery import load_file
from genloom.runs import Run, create_run, save

PICTURES = Samples(np.zeros((2, 8, 8, 1), "float32"), DataSpec((8, 8, 1)))

WRITERS: dict[str, tuple[Callable[[Run], Any], str]] = {
    "run.toml": (lambda run: run.write_config({"model": {"id": "a"}}), "run.toml"),
    "log.jsonl": (lambda run: run.append_log({"step": 1}), "log.jsonl"),
    "metrics.json": (lambda run: run.write_metrics([{"name": "fd"}]), "metrics.json"),
    "checkpoint": (lambda run: save(run, 1, {"w": np.zeros(3)}), "step-00000001"),
    "lock": (lambda run: run.lock().__enter__(), "run.lock"),
    "report": (lambda run: genloom.report.write(run), "report.html"),
    "picture": (lambda run: write(PICTURES, run.path / "x.png"), "x.png"),
    "folder of pictures": (lambda run: write(PICTURES, run.path / "new"), "new"),
    "picture of data": (lambda run: check("digits", run.path / "d.png"), "d.png"),
    "new run": (lambda run: create_run(run.path / "inner"), "inner"),
}
CAUSES = {
    errno.ENOSPC: ("No space left on device", "Free some space"),
    errno.EROFS: ("Read-only file system", "Name a place that may be written to"),
    errno.EACCES: ("Permission denied", "Name a place that may be written to"),
}


@pytest.fixture(scope="module")
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).with_name("training_models.py"))
    return sys.modules["training_models"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = create_run(tmp_path / "run")
    made.write_config({"model": {"id": "a"}})
    return made


@pytest.mark.parametrize("number", CAUSES)
@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_names_file_cause_and_mend(
    run: Run, writer: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every new file and folder in the run is refused, as a disk of this kind does."""
    act, name = WRITERS[writer]
    refused = OSError(number, os.strerror(number))

    def guarded(real: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **options: Any) -> Any:
            if str(run.path) in str(path) and writes(*rest, **options):
                raise refused
            return real(path, *rest, **options)

        return call

    def writing(mode: str = "r", *_: Any, **__: Any) -> bool:
        return not mode.startswith("r")

    def creating(flags: int = 0, *_: Any, **__: Any) -> bool:
        return bool(flags & (os.O_CREAT | os.O_WRONLY))

    monkeypatch.setattr("builtins.open", guarded(open, writing))
    monkeypatch.setattr(Path, "write_bytes", guarded(Path.write_bytes, lambda *_: True))
    monkeypatch.setattr(os, "open", guarded(os.open, creating))
    monkeypatch.setattr(os, "mkdir", guarded(os.mkdir, lambda *_, **__: True))
    with pytest.raises(RunError) as failed:
        act(run)
    cause, mend = CAUSES[number]
    assert name in failed.value.message and f"could not be written: {cause}." in failed.value.message
    assert failed.value.mend is not None and failed.value.mend.startswith(mend)
    assert failed.value.__cause__ is refused


def test_a_run_removed_while_it_trains_is_an_error_and_is_not_begun_again(models: Any, tmp_path: Path) -> None:
    class Remove(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            shutil.rmtree(tmp_path / "run", ignore_errors=True)

    settings = {"batch_size": 20, "sample_every": 0, "progress": "none", "callbacks": [Remove()]}
    with pytest.raises(RunError, match=r"could not be written: No such file or directory\. Was the folder removed"):
        genloom.train("tests/plain", models.points(), out=tmp_path / "run", epochs=1, **settings)
    assert not (tmp_path / "run").exists()


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunError, match=r"could not be written: (Not a directory|File exists)"):
        create_run(tmp_path / "runs" / "vae")
    with pytest.raises(RunError, match="could not be written"):
        write(PICTURES, tmp_path / "runs" / "x.png")


@pytest.mark.parametrize(("name", "mend"), [("a", "The folder takes no files"), ("gone/a", "Was the folder removed")])
def test_a_folder_that_takes_no_files_is_not_called_removed(name: str, mend: str, tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=mend), writing(tmp_path / name):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / name))  # as in /proc


def test_the_number_of_a_refusal_is_found_in_the_words_of_safetensors(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="No space left on device") as failed, files.writing(tmp_path / "state"):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert "Free some space" in (failed.value.mend or "")


def test_a_full_disk_is_told_with_the_room_that_is_needed(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free / 1e6
    with pytest.raises(RunError) as failed, files.writing(tmp_path / "absent" / "state", 52_400_000):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    found = re.fullmatch(r"It takes 52\.4 MB, and (\S+) MB are free there\. Free some space.*", failed.value.mend or "")
    assert found is not None and float(found[1]) == pytest.approx(free, rel=0.1)
