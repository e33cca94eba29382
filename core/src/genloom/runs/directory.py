"""The run directory: what a training leaves behind, read and written without Keras."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genloom import arguments
from genloom.errors import ConfigError, DamagedRunError, RunError, listed, nearest
from genloom.files import bounded
from genloom.files.atomic import make_folder, open_here, plain, reading, write_atomic, writing
from genloom.messages import tell
from genloom.runs import lineage, log, manifest
from genloom.runs.form import formed
from genloom.runs.lock import LOCK_NAME, RunLock, holder

__all__ = ["Run", "check_place", "create_run", "no_run", "open_run"]

CONFIG = "run.toml"
LOG = "log.jsonl"
METRICS = "metrics.json"
LAST_STEP = 10**12
_RESTORE = "Restore it from a copy, or train the run again."
EPOCH_SAMPLES = re.compile(r"epoch-(\d+)\.(?:png|txt)", re.ASCII)


class Run:
    """One run directory; nothing is read before it is asked for.

    Args:
        path: the directory. It need not exist; `open_run` insists on a run, `create_run` makes one.

    Raises:
        ConfigError: no path.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = arguments.path("A run", path, mend="Give the folder that genloom.train wrote.")
        self._lock = RunLock(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def exists(self) -> bool:
        """Whether the directory holds a run: a run.toml is there."""
        return _is_file(self.path / CONFIG)

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration in run.toml.

        Raises:
            ConfigError: the directory is no run.
            DamagedRunError: its run.toml cannot be read.
            ForbiddenError: this user may not read it.
        """
        if not self.exists:
            raise no_run(self.path)
        try:
            with reading(self.path / CONFIG):
                return formed(bounded.table(bounded.content(self.path / CONFIG)))
        except (OSError, ValueError) as cause:
            raise DamagedRunError(f"{str(self.path / CONFIG)!r} cannot be read: {cause}.", mend=_RESTORE) from cause

    def stated(self, table: str, key: str) -> Any:
        """Return a value that the run.toml of a trained run holds.

        Raises:
            DamagedRunError: it is not there.
        """
        part = self.config.get(table, {})
        if key not in part:
            raise DamagedRunError(f"{str(self.path / CONFIG)!r} has no {key} in [{table}].", mend=_RESTORE)
        return part[key]

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write run.toml whole; None is left out, as TOML has no null."""
        import tomli_w

        write_atomic(self.path / CONFIG, tomli_w.dumps(plain(config, keep_none=False)).encode())

    @property
    def address(self) -> str:
        """The address of the data that the run was trained on.

        Raises:
            ConfigError: there is none, for its weights come from elsewhere.
        """
        stated = self.config.get("data", {}).get("address")
        if not stated:
            raise ConfigError(
                f"The run {str(self.path)!r} has no data: its weights were not trained with GenLoom.",
                mend="Give the data, or train a run that starts from it: --init-from RUN --data SRC.",
            )
        return str(stated)

    @property
    def planned_steps(self) -> int | None:
        """Steps of the whole training by run.toml, None where it does not say.

        Raises:
            ConfigError: the directory is no run.
            DamagedRunError: it says something that is no number of steps.
        """
        training = self.config.get("training")
        if not isinstance(training, dict):
            return None
        steps, epochs, each = (self._count(training, name) for name in ("steps", "epochs", "steps_per_epoch"))
        return steps or epochs * each or None

    def _count(self, training: Mapping[str, Any], name: str) -> int:
        value = training.get(name, 0)
        if type(value) is not int or not 0 <= value <= LAST_STEP:
            raise DamagedRunError(
                f"{str(self.path / CONFIG)!r} has {name} = {str(value)[:40]!r}; it must be a whole number from 0 to "
                f"{LAST_STEP:,}.",
                mend=_RESTORE,
            )
        return value

    def lock(self) -> RunLock:
        """Return the lock to hold while writing: `with run.lock():`.

        Raises:
            ConfigError: on entering, when another process is writing this run.
        """
        return self._lock

    @property
    def status(self) -> str:
        """What became of the run.

        running: a process holds the lock. finished: `finish` was called and that step is saved. damaged: it was called,
        but the checkpoint is gone. interrupted: it was not.
        """
        if holder(self.path) is not None:
            return "running"
        last = self.last_entry
        if last.get("status") != "finished":
            return "interrupted"
        return "finished" if self.saved_step == last.get("step") else "damaged"

    @property
    def saved_step(self) -> int | None:
        """The step of the newest checkpoint, whose weights are sampled; None without any."""
        latest = self.latest()
        return None if latest is None else manifest.step_of(latest)

    @property
    def last_entry(self) -> dict[str, Any]:
        """The last line of the log, {} without any."""
        return functools.reduce(lambda _, entry: entry, self.log(), dict[str, Any]())

    def log(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of log.jsonl in order: "step", "epoch", "seconds", "losses", "rates".

        A last line without an end, left by a kill, is passed over; damaged ones in the middle, and those whose values
        are of other types, are named on stderr and passed over.

        Raises:
            RunError: the file is no log, or enormous.
        """
        damaged = []
        for number, entry in enumerate(log.lines(self.path / LOG), 1):
            if entry is not None:
                yield entry
            else:
                damaged.append(number)
        if damaged:
            names = listed([f"line {number}" for number in damaged])
            tell(f"{names} of {str(self.path / LOG)!r} cannot be read and is passed over.")

    def append_log(self, entry: Mapping[str, Any]) -> None:
        """Add one line to log.jsonl; a number that is not finite is written as null."""
        line = json.dumps(plain(entry), allow_nan=False).encode() + b"\n"
        with writing(self.path / LOG), open(self.path / LOG, "ab+", opener=open_here) as handle:
            handle.truncate(_whole_bytes(handle))
            handle.write(line)

    def rewind_log(self, step: int) -> None:
        """Drop the lines after `step`, which a resume from there will write again."""
        kept = [entry for entry in self.log() if entry.get("step", 0) <= step and "status" not in entry]
        text = "".join(json.dumps(plain(entry), allow_nan=False) + "\n" for entry in kept)
        write_atomic(self.path / LOG, text.encode())

    def finish(self, step: int, epoch: int, seconds: float) -> None:
        """Note in the log that the training ended as planned (or by its own stopping rule)."""
        entry = {"step": step, "epoch": epoch, "seconds": seconds, "losses": {}, "rates": {}, "status": "finished"}
        self.append_log(entry)

    def checkpoints(self) -> list[Path]:
        """Return the checkpoint folders, lowest step first."""
        return manifest.checkpoint_folders(self.path / "checkpoints")

    def latest(self) -> Path | None:
        """Return the checkpoint of the highest step, None without any. It may be damaged: see `load_latest`."""
        folders = self.checkpoints()
        return folders[-1] if folders else None

    def best(self, metric: str, mode: str = "min") -> Path | None:
        """Return the checkpoint whose manifest states the best `metric`, the earlier of equals.

        Args:
            metric: a name in the manifests' "metrics".
            mode: "min" or "max".

        Returns:
            None when no readable manifest states the metric.

        Raises:
            ConfigError: another mode.
        """
        if mode not in ("min", "max"):
            raise ConfigError(f"mode must be 'min' or 'max', got {mode!r}.")
        scores: dict[Path, float] = {}
        for folder in self.checkpoints():
            value = _stated(folder, metric)
            if value is not None:
                scores[folder] = value if mode == "min" else -value
        return min(scores, key=lambda folder: scores[folder]) if scores else None

    def samples(self) -> list[Path]:
        """Return the pictures drawn during training, samples/epoch-*.png, earliest epoch first."""
        return self._samples(".png")

    def texts(self) -> list[Path]:
        """Return the texts drawn during training, samples/epoch-*.txt, earliest epoch first."""
        return self._samples(".txt")

    def _samples(self, ending: str) -> list[Path]:
        found = (self.path / "samples").glob(f"epoch-*{ending}")
        epochs = {path: match for path in found if (match := EPOCH_SAMPLES.fullmatch(path.name))}
        return sorted(epochs, key=lambda path: int(epochs[path][1]))

    def metrics(self) -> list[dict[str, Any]]:
        """Return the results in metrics.json, [] when nothing was measured.

        Raises:
            RunError: the file is not a list of results.
        """
        path = self.path / METRICS
        if not _is_file(path):
            return []
        try:
            with reading(path):
                results = bounded.parsed(bounded.content(path))
        except (OSError, ValueError) as cause:
            raise RunError(f"{str(path)!r} cannot be read: {cause}.", mend="Run `genloom evaluate` again.") from cause
        if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
            raise RunError(f"{str(path)!r} is not a list of results.", mend="Run `genloom evaluate` again.")
        return results

    def write_metrics(self, results: list[dict[str, Any]]) -> None:
        """Write metrics.json whole; a number that is not finite is written as null."""
        text = json.dumps(plain(results), indent=1, allow_nan=False) + "\n"
        write_atomic(self.path / METRICS, text.encode())

    @property
    def scored_step(self) -> int | None:
        """The step that the scores in metrics.json are of; None where nothing was measured.

        Raises:
            RunError: the file is damaged.
        """
        steps = [result["step"] for result in self.metrics() if isinstance(result.get("step"), int)]
        return steps[-1] if steps else None

    @property
    def parameters(self) -> int | None:
        """How many numbers the model holds, by the newest whole manifest; None without one."""
        for folder in reversed(self.checkpoints()):
            try:
                arrays = manifest.read(folder)["arrays"]
                return sum(math.prod(claim["shape"]) for name, claim in arrays.items() if name.startswith("model/"))
            except (RunError, KeyError, TypeError):
                continue
        return None

    @property
    def outdated(self) -> bool:
        """Whether the scores in metrics.json are of another step than the weights: the run was trained further since.

        Raises:
            RunError: the file is damaged.
        """
        return None not in (self.scored_step, self.saved_step) and self.scored_step != self.saved_step


def open_run(path: str | Path, *, head: bool = True) -> Run:
    """Return the run at `path`, or the update of it that was promoted last.

    Args:
        path: a run directory.
        head: False returns the run itself, with the weights of its own training.

    Raises:
        ConfigError: there is no run there.
        RunError: the lineage of its updates is damaged.
    """
    run = Run(path)
    run.config  # noqa: B018 - reading it is the check
    return Run(lineage.head(run.path)) if head else run


def no_run(path: Path) -> ConfigError:
    """Return the error of a path that is no run; it names the nearest of the runs beside it."""
    what = f"it has no {CONFIG}" if path.exists() else "nothing is there"
    near = nearest(str(path), [str(file.parent) for file in path.parent.glob(f"*/{CONFIG}")])
    return ConfigError(
        f"{str(path)!r} is not a run: {what}.{near}",
        mend="Give a folder that `genloom train --out` wrote; `genloom runs DIR` lists them.",
    )


def create_run(path: str | Path, resume: bool = False) -> Run:
    """Make a run directory, or open an interrupted one.

    Args:
        path: where; it may be absent, empty, or with `resume` an existing run.
        resume: True continues a run that is there; one that is not yet there begins.

    Raises:
        ConfigError: a file is in the way, the folder holds something else, or a run is there and `resume`
            is False.
    """
    run = Run(path)
    if run.exists and not resume:
        from genloom.runs.going_on import way_on

        raise ConfigError(f"{str(run.path)!r} already holds a run.", mend=f"Choose another --out. {way_on(run)}")
    if not run.exists:
        check_place(run.path)
    for name in ("checkpoints", "samples"):
        make_folder(run.path / name)
    return run


def check_place(path: str | Path) -> None:
    """Refuse a file, or a folder of something else, where a run is to begin.

    Raises:
        ConfigError: it is one.
    """
    place = Path(path)
    if place.exists() and not place.is_dir():
        raise ConfigError(f"{str(path)!r} is a file, not a folder.", mend="Choose another --out.")
    if place.is_dir() and _occupied(place):
        raise ConfigError(
            f"The folder {str(path)!r} is not empty and is not a run.", mend="Choose another --out or empty it."
        )


def _is_file(path: Path) -> bool:
    with reading(path):
        return path.is_file()


def _occupied(folder: Path) -> bool:
    """Say whether a folder holds more than what a run killed at its very start leaves."""
    for entry in folder.iterdir():
        ours = entry.name == LOCK_NAME or entry.name.startswith(f".{CONFIG}.")
        empty = entry.name in ("checkpoints", "samples") and entry.is_dir() and not any(entry.iterdir())
        if not ours and not empty:
            return True
    return False


def _whole_bytes(handle: Any) -> int:
    """Return the length of an open log up to the end of its last whole line."""
    end = int(handle.seek(0, 2))
    start = end
    while start > 0:
        start = max(0, start - 4096)
        handle.seek(start)
        newline = handle.read(min(4096, end - start)).rfind(b"\n")
        if newline >= 0:
            return int(start + newline + 1)
    return 0


def _stated(folder: Path, metric: str) -> float | None:
    """Return the number a checkpoint's manifest states for a metric; None without one or when damaged."""
    try:
        value = manifest.read(folder).get("metrics", {}).get(metric)
    except (RunError, AttributeError):
        return None
    return float(value) if isinstance(value, (int, float)) else None
