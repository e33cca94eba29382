"""One umask for every file of a run; a file that may not be read is said to be that, and not to be damaged."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloom.errors import ConfigError, ForbiddenError, GenLoomError
from genloom.runs import Run, create_run, list_runs, load_latest, open_run, save
from genloom.runs.lock import LOCK_NAME

pytestmark = pytest.mark.any_engine


@pytest.fixture(params=[0o002, 0o027, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = create_run(tmp_path / "run")
    made.write_config({"model": {"id": "a"}})
    made.append_log({"step": 1})
    made.write_metrics([{"name": "fd"}])
    for step in (1, 2):
        save(made, step, {"w": np.full(3, step)})
    return made


def test_all_files_of_a_run_have_the_mode_of_the_umask(umask: int, run: Run) -> None:
    with run.lock():
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in run.path.rglob("*") if path.is_file()}
    assert {"run.toml", "log.jsonl", "metrics.json", "state.safetensors", "manifest.json", LOCK_NAME} == set(modes)
    assert set(modes.values()) == {0o666 & ~umask}, {name: oct(mode) for name, mode in modes.items()}


READERS: dict[str, Callable[[Run], Any]] = {
    "run.toml": lambda run: open_run(run.path),
    "log.jsonl": lambda run: list(run.log()),
    "metrics.json": lambda run: run.metrics(),
    "manifest.json": load_latest,
    "state.safetensors": load_latest,
}


@pytest.mark.parametrize("name", READERS)
def test_what_may_not_be_read_is_not_called_damaged(run: Run, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, name)
    with pytest.raises(ForbiddenError, match=rf"{name}' may not be read: Permission denied\. Mend the permissions"):
        READERS[name](run)


def test_a_folder_that_may_not_be_searched_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ForbiddenError, match=r"checkpoints' may not be read: Permission denied"):
        run.checkpoints()


@pytest.mark.parametrize("name", ["run.toml", "log.jsonl"])
def test_the_list_of_runs_says_forbidden_and_shows_the_others(
    run: Run, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_run(tmp_path / "another").write_config({"model": {"id": "b"}})
    forbid(monkeypatch, str(Path("run") / name))
    statuses = {Path(row["path"]).name: row["status"] for row in list_runs(tmp_path)}
    assert statuses == {"another": "interrupted", "run": "forbidden"}


def test_a_folder_that_may_not_be_entered_is_listed_as_forbidden(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("open", "unlisted"):
        create_run(tmp_path / name).write_config({"model": {"id": "b"}})
    (tmp_path / "no run").mkdir()
    monkeypatch.setattr(os, "scandir", guarded(os.scandir, "/run", "/unlisted", "/no run"))
    monkeypatch.setattr(Path, "stat", guarded(Path.stat, "/run/run.toml"))
    statuses = {Path(row["path"]).name: row["status"] for row in list_runs(tmp_path)}
    assert statuses == {"open": "interrupted", "run": "forbidden", "unlisted": "interrupted"}
    assert f"{str(run.path / 'run.toml')!r} may not be read: Permission denied" in capsys.readouterr().err


def test_a_lock_whose_owner_may_not_be_read_is_held_all_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with run.lock():
        forbid(monkeypatch, LOCK_NAME)
        with pytest.raises(ConfigError, match="is being written by another process"), Run(run.path).lock():
            pytest.fail("two hold one lock")


def guarded(real: Callable[..., Any], *endings: str) -> Callable[..., Any]:
    """Refuse paths of these endings, as the system does; who runs the tests as root may read everything."""

    def call(path: Any, *rest: Any, **options: Any) -> Any:
        if str(path).endswith(endings):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *rest, **options)

    return call


def forbid(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Refuse to open files of this name."""
    monkeypatch.setattr("builtins.open", guarded(open, name))
    for reader in ("read_bytes", "read_text"):
        monkeypatch.setattr(Path, reader, guarded(getattr(Path, reader), name))


def test_a_lock_that_cannot_be_signed_is_not_held(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals: dict[str, BaseException] = {
        "pwrite": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        "ftruncate": OSError(errno.EIO, os.strerror(errno.EIO)),
        "fstat": KeyboardInterrupt(),
    }
    for call, refusal in refusals.items():
        with monkeypatch.context() as patch:
            patch.setattr(os, call, lambda *_, refusal=refusal: (_ for _ in ()).throw(refusal))
            with pytest.raises((GenLoomError, KeyboardInterrupt)), run.lock():
                pytest.fail("the lock was given away unsigned")
        assert run.status == "interrupted"
        with Run(run.path).lock():  # by another object: within one process, too, a lock is of one handle
            assert run.status == "running"
