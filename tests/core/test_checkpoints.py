"""Checkpoints are whole or absent: kills, flipped bits, false claims and concurrent cleaning."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from genloom.errors import RunError
from genloom.runs import Run, checkpoint, create_run, manifest, pruning

SPEC = {"shape": [8, 8, 1], "kind": "image"}


def state(step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(step)
    return {
        "model/encoder/dense/kernel": rng.normal(size=(5, 3)).astype("float32"),
        "model/decoder/kernel": rng.normal(size=(4, 2)).astype(ml_dtypes.bfloat16),
        "optimizer/main/momentum": np.asarray(rng.normal(size=(3, 7)).T),  # not contiguous
        "counter/step": np.array(step, "int32"),  # 0-d
        "counter/seed": np.array([1, 2**32 - 1], "uint32"),
        "flag": np.array(True),
        "empty": np.zeros((0, 3), "float16"),
    }


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(tmp_path / "run")


def test_every_type_and_shape_comes_back_bit_for_bit(run: Run) -> None:
    path = checkpoint.save(run, 1000, state(1000), {"spec": SPEC, "versions": {"genloom": "0.1.0"}})
    assert path.name == "step-00001000"
    arrays, content = checkpoint.load(path)
    assert_same(arrays, state(1000))
    assert (content["step"], content["spec"], content["versions"]) == (1000, SPEC, {"genloom": "0.1.0"})
    assert content["arrays"]["model/decoder/kernel"] == {"shape": [4, 2], "dtype": "bfloat16"}


def test_the_latest_is_the_highest_step_not_the_newest_file(run: Run) -> None:
    for step in (300, 100, 200):
        checkpoint.save(run, step, state(step), keep=5)
    assert [manifest.step_of(p) for p in run.checkpoints()] == [100, 200, 300]
    assert checkpoint.load_latest(run)[1]["step"] == 300


def test_only_folders_of_the_expected_name_count(run: Run, tmp_path: Path) -> None:
    checkpoint.save(run, 5, state(5))
    folder = run.path / "checkpoints"
    for name in ("step-00000009.bak", "step-9", "step-٠٠٠٠٠٠٠٩", "STEP-00000009", ".draft-step-00000009-1-00000000"):
        (folder / name).mkdir()
    (folder / "step-00000008").write_text("a file")
    (folder / "step-00000007").symlink_to(folder / "step-00000005", target_is_directory=True)
    assert [p.name for p in run.checkpoints()] == ["step-00000005"]


@pytest.mark.parametrize("name", [manifest.STATE, manifest.MANIFEST])
def test_each_of_forty_flipped_bits_is_noticed(run: Run, name: str) -> None:
    path = checkpoint.save(run, 7, state(7), {"spec": SPEC, "metrics": {"val_loss": 0.1234567}})
    whole = (path / name).read_bytes()
    for position in random.Random(name).sample(range(8 * len(whole)), 40):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        (path / name).write_bytes(flipped)
        with pytest.raises(RunError):
            checkpoint.load(path)
    (path / name).write_bytes(whole)
    assert_same(checkpoint.load(path)[0], state(7))


@pytest.mark.parametrize("name", [manifest.STATE, manifest.MANIFEST])
def test_a_shortened_or_missing_file_is_noticed(run: Run, name: str) -> None:
    path = checkpoint.save(run, 7, state(7))
    whole = (path / name).read_bytes()
    for length in (0, 1, len(whole) - 1):
        (path / name).write_bytes(whole[:length])
        with pytest.raises(RunError, match="is damaged: "):
            checkpoint.load(path)
    (path / name).unlink()
    with pytest.raises(RunError, match="No such file"):
        checkpoint.load(path)


def test_a_damaged_newest_one_falls_back_loudly(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (1, 2):
        checkpoint.save(run, step, state(step))
    damaged = run.checkpoints()[-1] / manifest.STATE
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    arrays, content = checkpoint.load_latest(run)
    assert content["step"] == 1
    assert_same(arrays, state(1))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert str(damaged) in captured.err


def test_without_a_usable_one_the_error_names_every_cause(run: Run) -> None:
    with pytest.raises(RunError, match="no usable checkpoint") as nothing:
        checkpoint.load_latest(run)
    assert nothing.value.mend
    path = checkpoint.save(run, 1, state(1))
    (path / manifest.STATE).unlink()
    with pytest.raises(RunError, match=r"state\.safetensors"):
        checkpoint.load_latest(run)


def test_a_checkpoint_moved_to_another_step_is_refused(run: Run) -> None:
    path = checkpoint.save(run, 1, state(1))
    path.rename(path.with_name("step-00000099"))
    with pytest.raises(RunError, match="belongs to step 1"):
        checkpoint.load(path.with_name("step-00000099"))


def resealed(path: Path, **changes: object) -> None:
    """Rewrite the manifest as an attacker would: false content, right hash."""
    content = json.loads((path / manifest.MANIFEST).read_bytes())
    del content[manifest.SEAL]
    (path / manifest.MANIFEST).write_bytes(manifest.seal({**content, **changes}))


def test_names_in_the_manifest_are_not_followed(run: Run, tmp_path: Path) -> None:
    path = checkpoint.save(run, 1, state(1))
    other = checkpoint.save(create_run(tmp_path / "other"), 1, {"counter/step": np.array(99)})
    resealed(
        path, file=str(other / manifest.STATE), state_file="../../other/checkpoints/step-00000001/state.safetensors"
    )
    assert_same(checkpoint.load(path)[0], state(1))


@pytest.mark.parametrize("name", [manifest.STATE, manifest.MANIFEST])
def test_a_link_is_refused_even_to_the_right_content(run: Run, tmp_path: Path, name: str) -> None:
    path = checkpoint.save(run, 1, state(1))
    moved = tmp_path / name
    shutil.move(path / name, moved)
    (path / name).symlink_to(moved)
    with pytest.raises(RunError, match="not a plain file"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "claim",
    [
        {"shape": [2**40, 2**20], "dtype": "float32"},
        {"shape": [10**30], "dtype": "float32"},
        {"shape": [-1, 3], "dtype": "float32"},
        {"shape": [True], "dtype": "float32"},
        {"shape": [5, 3], "dtype": "object"},
        {"shape": "5,3", "dtype": "float32"},
        ["shape", "dtype"],
    ],
)
def test_false_claims_are_refused_before_the_state_is_opened(
    run: Run, claim: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint.save(run, 1, state(1))
    table = json.loads((path / manifest.MANIFEST).read_bytes())["arrays"]
    resealed(path, arrays={**table, "model/encoder/dense/kernel": claim})
    monkeypatch.setattr(checkpoint, "_arrays", lambda *_: pytest.fail("the state was opened"))
    with pytest.raises(RunError, match=r"are claimed|it claims"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"w": np.zeros((3, 2), "float32")}, "has shape"),
        ({"w": np.zeros((2, 3), "int32")}, "has type"),
        ({"v": np.zeros((2, 3), "float32")}, "are not those"),
    ],
)
def test_the_state_must_hold_what_the_manifest_states(run: Run, stored: dict, message: str) -> None:
    path = checkpoint.save(run, 1, {"w": np.zeros((2, 3), "float32")})
    save_file(stored, path / manifest.STATE)
    content = (path / manifest.STATE).read_bytes()
    resealed(path, state_sha256=hashlib.sha256(content).hexdigest(), state_bytes=len(content))
    with pytest.raises(RunError, match=message):
        checkpoint.load(path)


def test_objects_and_text_cannot_be_saved(run: Run) -> None:
    with pytest.raises(RunError, match="'names' has type 'object'"):
        checkpoint.save(run, 1, {"names": np.array([{"a": 1}], object)})
    assert run.checkpoints() == []


def test_a_failed_write_leaves_no_trace(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(run, 1, state(1))

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "sync_file", full)
    with pytest.raises(RunError, match="No space left"):
        checkpoint.save(run, 2, state(2))
    assert [p.name for p in (run.path / "checkpoints").iterdir()] == ["step-00000001"]


def test_pruning_keeps_two_at_least_and_the_best(run: Run) -> None:
    losses = {1: 3.0, 2: 0.5, 3: 2.0, 4: float("nan"), 5: 0.9}
    for step, loss in losses.items():
        checkpoint.save(run, step, state(step), {"metrics": {"val_loss": loss}}, keep=1, keep_best=("val_loss", "min"))
    assert [manifest.step_of(p) for p in run.checkpoints()] == [2, 4, 5]
    assert manifest.step_of(run.best("val_loss")) == 2
    assert manifest.step_of(run.best("val_loss", "max")) == 5
    assert run.best("unknown") is None


def test_saving_one_step_again_replaces_it(run: Run) -> None:
    checkpoint.save(run, 4, state(4))
    checkpoint.save(run, 4, state(5))
    assert_same(checkpoint.load_latest(run)[0], state(5))
    assert [p.name for p in (run.path / "checkpoints").iterdir()] == ["step-00000004"]


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(run: Run) -> None:
    folder = run.path / "checkpoints"
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    dead = folder / f".draft-step-00000001-{process.pid}-00000000"
    living = folder / ".draft-step-00000001-1-00000000"
    foreign = folder / "notes"
    for path in (dead, living, foreign):
        path.mkdir(parents=True)
    checkpoint.save(run, 1, state(1))
    assert not dead.exists()
    assert living.exists()
    assert foreign.exists()


def test_readers_and_cleaners_at_the_same_time_never_see_half_a_checkpoint(run: Run) -> None:
    checkpoint.save(run, 0, {"w": np.full(64, 0)})
    failures: list[BaseException] = []
    done = threading.Event()

    def guarded(work: object) -> None:
        try:
            while not done.is_set():
                work()
        except BaseException as error:
            failures.append(error)

    def read() -> None:
        arrays, content = checkpoint.load_latest(run)
        assert (arrays["w"] == content["step"]).all()

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (read, lambda: pruning.prune(run))]
    for thread in threads:
        thread.start()
    for step in range(1, 40):
        checkpoint.save(run, step, {"w": np.full(64, step)})
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [manifest.step_of(p) for p in run.checkpoints()] == [38, 39]


def test_a_list_that_changed_while_it_was_read_is_read_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that prunes all that a reader's list names, or renames while the system lists, is no loss."""
    checkpoint.save(run, 1, state(1))
    listed, loaded = run.checkpoints, checkpoint.load
    empty = iter([True])
    monkeypatch.setattr(run, "checkpoints", lambda: [] if next(empty, False) else listed())
    behind = iter(range(2, 8))

    def overtaken(folder: Path) -> object:
        step = next(behind, None)
        if step is not None:
            checkpoint.save(Run(run.path), step, state(step))
            pruning.remove(folder)
        return loaded(folder)

    monkeypatch.setattr(checkpoint, "load", overtaken)
    arrays, content = checkpoint.load_latest(run)
    assert content["step"] == 7
    assert_same(arrays, state(7))


def test_a_checkpoint_replaced_while_it_is_read_is_not_called_damaged(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (3, 4):
        checkpoint.save(run, step, state(step))
    claims, once = checkpoint._check_claims, iter([True])

    def replaced(file: Path, content: dict) -> None:
        if next(once, False):
            checkpoint.save(Run(run.path), 4, state(5))  # between the reading of its manifest and of its state
        claims(file, content)

    monkeypatch.setattr(checkpoint, "_check_claims", replaced)
    assert_same(checkpoint.load_latest(run)[0], state(5))
    assert capsys.readouterr().err == ""


KILLED_AT_EVERY_CALL = '''
"""Save step 2 over and over, killed with SIGKILL at its first, second, … system call that changes the disk."""
import os, pathlib, shutil, signal, sys
import numpy as np
import psutil, safetensors.numpy
from genloom.runs import checkpoint, create_run

folder = pathlib.Path(sys.argv[1])
again = sys.argv[2] == "again"
deaths = 0
while True:
    shutil.rmtree(folder, ignore_errors=True)
    run = create_run(folder)
    checkpoint.save(run, 2 if again else 1, {"w": np.full(1000, 1)})
    child = os.fork()
    if child == 0:
        calls = 0

        def watched(call):
            def wrapper(*args, **kwargs):
                global calls
                calls += 1
                if calls > deaths:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **kwargs)
            return wrapper

        for name in ("fsync", "rename", "mkdir", "rmdir", "unlink"):
            setattr(os, name, watched(getattr(os, name)))
        safetensors.numpy.save_file = watched(safetensors.numpy.save_file)
        checkpoint.save(run, 2, {"w": np.full(1000, 2)})
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    arrays, content = checkpoint.load_latest(run)
    values = set(arrays["w"].tolist())
    assert values in ({1}, {2}), values
    if not again:
        assert values == {content["step"]}, (values, content)
    checkpoint.save(run, 3, {"w": np.full(1000, 3)})
    names = sorted(p.name for p in (folder / "checkpoints").iterdir())
    assert all(name.startswith("step-") for name in names) and names[-1] == "step-00000003", names
    if os.waitstatus_to_exitcode(status) == 0:
        break
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, status
    deaths += 1
print(deaths)
'''


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("case", ["new", "again"])
def test_a_kill_at_any_instant_leaves_a_whole_checkpoint(tmp_path: Path, case: str) -> None:
    command = [sys.executable, "-c", KILLED_AT_EVERY_CALL, str(tmp_path / "run"), case]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert int(result.stdout) >= 6  # mkdir, the state, four flushes, a rename
