"""Run under refusing.so (LD_PRELOAD): what is written when the disk refuses its first, second, … call.

    python refusing.py save FOLDER TRIES     a checkpoint, in three situations
    python refusing.py train FOLDER TRIES    a whole training with pictures and checkpoints, then its resume

FOLDER is what REFUSING_BELOW names. One line of JSON is printed: tries by fault, and what did not hold.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import errno
import io
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genloom.errors import GenLoomError, RunError
from genloom.runs import Run, create_run, load, load_latest, save

DISK = ctypes.CDLL(None)
ONCE, FOR_GOOD, HALF, KILL = range(4)
FAULTS = {
    "full disk, one call": (errno.ENOSPC, ONCE),
    "full disk for good": (errno.ENOSPC, FOR_GOOD),
    "input/output error, one call": (errno.EIO, ONCE),
    "input/output error for good": (errno.EIO, FOR_GOOD),
    "half written": (errno.ENOSPC, HALF),
    "killed": (0, KILL),
}
Outcome = tuple[str, str]  # what was said, what is wrong with it


def refusing(act: Callable[[], Any], at: int, number: int = 0, mode: int = ONCE) -> tuple[Outcome, int]:
    """Act on a disk that refuses call `at` (0: none); return what came of it, and the number of calls made."""
    DISK.refuse(at, number, mode)
    try:
        act()
        outcome = "no error", ""
    except RunError as error:
        outcome = error.message, "" if "could not be" in error.message else f"names no file: {error.message}"
    except BaseException as error:
        outcome = "raw", f"raised {error!r}"
    finally:
        calls = DISK.calls_made()
    return outcome, calls


def killed(act: Callable[[], Any], at: int) -> Outcome:
    """Act in a child process that dies at call `at`."""
    child = os.fork()
    if child == 0:
        DISK.refuse(at, 0, KILL)
        act()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "killed", "" if status == -signal.SIGKILL else f"ended with {status}"


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep warnings off stderr."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def state(step: int) -> dict[str, Any]:
    """Return arrays that tell their step."""
    rng = np.random.default_rng(step)
    return {f"w{i}": rng.normal(size=(300, 40)).astype("float32") for i in range(3)} | {"step": np.asarray(step)}


#: Step to write, and how, in a run that holds steps 10 and 20.
SAVES: dict[str, tuple[int, dict[str, Any]]] = {
    "a new step": (30, {}),
    "a step again": (20, {}),
    "a better one": (30, {"keep_best": ("loss", "max")}),
}


def prepared(folder: Path) -> Run:
    """Return a run with two checkpoints."""
    shutil.rmtree(folder, ignore_errors=True)
    run = create_run(folder)
    for step in (10, 20):
        save(run, step, state(step), {"metrics": {"loss": 1.0 / step}})
    return run


def is_state(arrays: dict[str, Any], step: int) -> bool:
    """Return whether arrays are those of `state(step)`, bit by bit."""
    wanted = state(step)
    return arrays.keys() == wanted.keys() and all(arrays[n].tobytes() == wanted[n].tobytes() for n in wanted)


def wrong_after_save(run: Run, step: int, written: int) -> str:
    """Return what is wrong with a run whose writing of `step`, with the arrays of `written`, was disturbed."""
    try:
        with silent():
            arrays, content = load_latest(run)
            for folder in run.checkpoints():
                load(folder)
            found = content["step"]
            if not ((found == step and is_state(arrays, written)) or (found == 20 and is_state(arrays, 20))):
                return f"step {found} holds something else"
            save(run, 40, state(40))
            if load_latest(run)[1]["step"] != 40:
                return "the next checkpoint is not the newest"
    except Exception as error:
        return f"afterwards {error!r}"
    hidden = [path.name for path in (run.path / "checkpoints").iterdir() if path.name.startswith(".")]
    return f"left {hidden}" if hidden else ""


def saves(folder: Path, tries: int) -> Iterator[tuple[str, str]]:
    """Yield each fault in a checkpoint's writing, and what is wrong after it."""
    chosen = random.Random(0)
    for situation, (step, extra) in SAVES.items():
        written = 99 if situation == "a step again" else step

        def act(step: int = step, written: int = written, extra: dict[str, Any] = extra) -> None:
            save(Run(folder / "run"), step, state(written), {"metrics": {"loss": 1.0 / step}}, **extra)

        prepared(folder / "run")
        outcome, calls = refusing(act, at=0)
        assert outcome == ("no error", "") and calls > 8, (outcome, calls)
        for fault, (number, mode) in FAULTS.items():
            for at in sorted(chosen.sample(range(1, calls + 1), min(tries, calls))):
                run = prepared(folder / "run")
                said, wrong = killed(act, at) if mode == KILL else refusing(act, at, number, mode)[0]
                wrong = wrong or wrong_after_save(run, step, written)
                yield f"{fault}, in a checkpoint", wrong and f"{situation}, call {at}, {said}: {wrong}"


def trained(out: Path, *, resume: bool = False) -> Run:
    """Train for two epochs, with pictures, validation and a checkpoint each."""
    import genloom

    pictures = np.random.default_rng(0).uniform(-1, 1, (30, 8, 8, 1)).astype("float32")
    every: dict[str, Any] = {"validate_every": 1, "checkpoint_every": 1, "sample_every": 1, "sample_count": 4}
    request: dict[str, Any] = {"preset": "tiny", "epochs": 2, "batch_size": 10, "progress": "none", "resume": resume}
    return genloom.train("vae/mlp", pictures, out=out, seed=1, **request, **every)  # type: ignore[no-any-return]


def whole(run: Run) -> dict[str, Any]:
    """Return what a finished run must hold, comparable bit by bit."""
    arrays, content = load_latest(run)
    log = [{key: value for key, value in line.items() if key != "seconds"} for line in run.log()]
    pictures = {path.name: path.read_bytes() for path in (run.path / "samples").iterdir()}
    return {"step": content["step"], "log": log, "pictures": pictures} | {n: a.tobytes() for n, a in arrays.items()}


def trainings(folder: Path, tries: int) -> Iterator[tuple[str, str]]:
    """Yield each fault in a training, and what differs once it was resumed, or begun again where nothing was kept."""
    with silent():
        expected = whole(trained(folder / "base"))
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)

    def act() -> None:
        with silent():
            trained(out)

    outcome, calls = refusing(act, at=0)
    assert outcome == ("no error", "") and calls > 50, (outcome, calls)
    chosen = random.Random(0)
    for fault in ("full disk, one call", "full disk for good"):
        for at in sorted(chosen.sample(range(1, calls + 1), min(tries, calls))):
            shutil.rmtree(out, ignore_errors=True)
            said, wrong = refusing(act, at, *FAULTS[fault])[0]
            wrong = wrong or differs_after(out, expected)
            yield f"{fault}, in a training", wrong and f"call {at}, {said}: {wrong}"


def differs_after(out: Path, expected: dict[str, Any]) -> str:
    """Return what differs from an undisturbed run once this one was resumed, or begun again where nothing was kept."""
    try:
        with silent():
            begun = Run(out).exists and bool(Run(out).checkpoints())
            if not begun:
                shutil.rmtree(out, ignore_errors=True)
            found = whole(trained(out, resume=begun))
    except GenLoomError as error:
        return f"it cannot go on: {error.message}"
    return ", ".join(sorted(name for name in expected | found if expected.get(name) != found.get(name)))


def main() -> None:
    """Try, and print what was tried and what did not hold."""
    what, folder, tries = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    tried: collections.Counter[str] = collections.Counter()
    problems = []
    for fault, wrong in {"save": saves, "train": trainings}[what](folder, tries):
        tried[fault] += 1
        problems += [f"{fault}: {wrong}"] if wrong else []
    print(json.dumps({"tried": tried, "problems": problems}))


if __name__ == "__main__":
    main()
