"""Tasks learned one after the other by one model, and after each of them the score on every one.

A sequence is a TOML file:

    model = "vae/mlp"
    preset = "tiny"
    remedy = "replay:share=0.2"     # or ewc, l2sp, lwf, agem; "adapters:rank=8" for one of each task; "none"
    [training]
    steps = 500
    [[tasks]]
    name = "low"
    data = "npz:low.npz"
    [[tasks]]
    name = "high"
    data = "npz:high.npz"
    training = { steps = 800 }      # what differs for this one
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import genloom
from genloom.data.agreement import check_classes, check_units
from genloom.errors import ConfigError, RunError, nearest, reason
from genloom.evaluation.judging import Judge
from genloom.files import bounded
from genloom.files.atomic import make_folder, plain, write_atomic
from genloom.files.toml import read_toml
from genloom.modalities.drawing import to_bytes
from genloom.options import configure
from genloom.plugins.registry import chosen
from genloom.runs import Run
from genloom.training import TrainingSettings
from genloom_adapt import measures
from genloom_adapt.matrix import Matrix, matrix_picture
from genloom_adapt.page import write_page

if TYPE_CHECKING:
    from genloom.data import Dataset

__all__ = ["FILE", "Sequence", "Task", "read_sequence", "run_sequence"]

#: Name of the results in the folder of a sequence.
FILE = "sequence.json"

_KEYS = ("model", "preset", "options", "remedy", "metric", "seed", "training", "tasks")
_TASK_KEYS = ("name", "data", "training")
_QUIET = {"sample_every": 0}


@dataclasses.dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: what it is called in results, and the folder of its run.
        data: address of its data.
        training: settings that differ from those of the sequence.
    """

    name: str
    data: str
    training: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Sequence:
    """What is learned, how, and what is kept meanwhile.

    Attributes:
        model: id of the model.
        tasks: in order.
        preset: of the model.
        options: of the model.
        remedy: a remedy such as "ewc:strength=30", "adapters" with options of lora, or "none".
        metric: see `Judge`.
        seed: of all trainings.
        training: settings of every task.
    """

    model: str
    tasks: tuple[Task, ...]
    preset: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    remedy: str = "none"
    metric: str = "test_loss"
    seed: int = 0
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def adapters(self) -> str | None:
        """What `adapt` takes where each task after the first gets adapters of its own; None for other remedies."""
        name, colon, rest = self.remedy.partition(":")
        return f"lora{colon}{rest}" if name == "adapters" else None

    @property
    def retain(self) -> str | None:
        """The remedy that the trainings get, None for adapters and for none."""
        return None if self.remedy == "none" or self.adapters else self.remedy


def read_sequence(file: str | Path) -> Sequence:
    """Read a sequence and check all that can be known before training.

    Raises:
        ConfigError: no such file, no TOML, an unknown key, fewer than two tasks, a name twice, an unknown remedy.
    """
    stated = read_toml(file, "sequence")
    _check_keys(str(file), stated, _KEYS, ("model", "tasks"))
    tasks = stated["tasks"]
    if not isinstance(tasks, list) or len(tasks) < 2 or not all(isinstance(task, dict) for task in tasks):
        raise ConfigError(f"{str(file)!r} needs two [[tasks]] or more.")
    for number, task in enumerate(tasks, 1):
        _check_keys(f"task {number} of {file}", task, _TASK_KEYS, ("name", "data"))
    names = [str(task["name"]) for task in tasks]
    for name in names:
        if names.count(name) > 1 or not name or not all(c.isalnum() or c in "-_" for c in name):
            raise ConfigError(f"Tasks need names of their own, of letters, digits, - and _; got {names}.")
    given = {**stated, "tasks": tuple(Task(str(t["name"]), str(t["data"]), t.get("training", {})) for t in tasks)}
    sequence = configure(Sequence, given)
    if sequence.adapters:
        chosen("adapter", sequence.adapters)
    if sequence.retain:
        chosen("remedy", sequence.retain)
    _check_training(sequence)
    return sequence


def _check_training(sequence: Sequence) -> None:
    tables = {"training": sequence.training}
    tables |= {f"tasks.{task.name}.training": task.training for task in sequence.tasks}
    for place, table in tables.items():
        if not isinstance(table, Mapping):
            raise ConfigError(f"{place} must be a table of settings, got {table!r}.", mend="Write { steps = 800 }.")
        configure(TrainingSettings, table, named=f"{place}.{{}}".format)


def run_sequence(sequence: Sequence | str | Path, out: str | Path) -> dict[str, Any]:
    """Train the tasks one after the other, or go on with a sequence that was stopped, and measure after each.

    Args:
        sequence: what to do, or the TOML file that says it.
        out: a folder, for one run per task and the results: `sequence.json`, `sequence.png` and `report.html`.

    Returns:
        "tasks" (names), "remedy", "metric", "lower_is_better", "matrix" (T + 1 rows, the first before any task),
        "average", "forgetting" (of each task but the last), "mean_forgetting", "backward_transfer" and
        "forward_transfer", as `genloom_adapt.measures` defines them, and "runs".

    Raises:
        ConfigError: anything wrong in the sequence, or a folder that another one was begun in.
        DataError: data that cannot be used.
        RunError: a training failed.
    """
    asked = sequence if isinstance(sequence, Sequence) else read_sequence(sequence)
    folder = Path(out)
    make_folder(folder)
    done = _begun(folder, asked)
    datasets = [genloom.data.open(task.data) for task in asked.tasks]
    _check_alike(asked, datasets)
    judge = Judge(asked.metric, seed=asked.seed)
    runs: list[Run] = []
    matrix: list[list[float]] = done.get("matrix", [])
    lower = bool(done.get("lower_is_better", True))
    if not matrix:
        model = _untrained(asked, datasets[0])
        for dataset in datasets:
            judge.check(model, dataset)
        row = [judge(model, dataset) for dataset in datasets]
        matrix, lower = [[value for value, _ in row]], row[0][1]
        _keep(folder, asked, matrix, lower)
    for number, task in enumerate(asked.tasks):
        runs.append(_trained(asked, task, number, runs, folder))
        if len(matrix) > number + 1:
            continue
        matrix.append([judge(genloom.load(_who(asked, runs, j)), dataset)[0] for j, dataset in enumerate(datasets)])
        _keep(folder, asked, matrix, lower)
    results = _results(asked, matrix, lower, runs)
    write_atomic(folder / FILE, (json.dumps(plain(results), indent=1, allow_nan=False) + "\n").encode())
    image = matrix_picture(Matrix(matrix, results["tasks"], asked.metric, lower))
    write_atomic(folder / "sequence.png", to_bytes(image))
    write_page(results, folder / "report.html")
    return results


def _check_keys(what: str, stated: Mapping[str, Any], known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    for key in stated:
        if key not in known:
            raise ConfigError(f"Unknown key {key!r} in {what}.{nearest(key, known)}", mend=f"Keys: {', '.join(known)}.")
    for key in needed:
        if key not in stated:
            raise ConfigError(f"{what} has no {key!r}.", mend=f"Needed: {', '.join(needed)}.")


def _check_alike(asked: Sequence, datasets: list[Dataset]) -> None:
    """Refuse tasks that no one model can learn, before the first is trained.

    Raises:
        ConfigError: data of another kind, shape, range, vocabulary, units or classes than the first task's.
    """
    for name in ("kind", "shape", "value_range", "vocabulary", "classes"):
        stated = [getattr(dataset.spec, name) for dataset in datasets]
        if any(value != stated[0] for value in stated):
            each = ", ".join(f"{task.name} {value}" for task, value in zip(asked.tasks, stated, strict=True))
            raise ConfigError(
                f"The tasks have different {name.replace('_', ' ')}: {each}.",
                mend="One model learns them all: open the data alike, such as with the same classes.",
            )
    first, known = datasets[0].spec, f"task {asked.tasks[0].name!r}"
    for task, dataset in zip(asked.tasks, datasets, strict=True):
        check_classes(f"Task {task.name!r}", dataset.spec, first, known)
        check_units(f"Task {task.name!r}", dataset.spec, first, known)


def _untrained(asked: Sequence, dataset: Dataset) -> Any:
    model = genloom.create(
        asked.model, dataset.spec, preset=asked.preset, seed=asked.seed, compile=False, **asked.options
    )
    model.trainable = False
    return model


def _trained(asked: Sequence, task: Task, number: int, before: list[Run], folder: Path) -> Run:
    """Train one task, from the run before it or, with adapters of its own, from the first."""
    path = folder / f"{number + 1}-{task.name}"
    remedy: dict[str, Any] = {}
    if before:
        remedy = {"retain": asked.retain, "init_from": before[-1].path}
        if asked.adapters:
            remedy = {"adapt": asked.adapters, "init_from": before[0].path}
    run: Run = genloom.train(
        asked.model,
        task.data,
        preset=asked.preset,
        options=asked.options,
        seed=asked.seed,
        out=path,
        resume=(path / "run.toml").is_file(),
        **{**_QUIET, **asked.training, **task.training, **remedy},
    )
    return run


def _who(asked: Sequence, runs: list[Run], task: int) -> Run:
    """Return whom to ask about a task: with adapters its own, where it has been learned; else the last."""
    if asked.adapters:
        return runs[task] if task < len(runs) else runs[0]
    return runs[-1]


def _stated(asked: Sequence) -> dict[str, Any]:
    stated: dict[str, Any] = plain(dataclasses.asdict(asked))
    return stated


def _begun(folder: Path, asked: Sequence) -> dict[str, Any]:
    """Return what an earlier call wrote.

    Raises:
        ConfigError: it was another sequence.
        RunError: it cannot be read.
    """
    file = folder / FILE
    if not file.is_file():
        return {}
    try:
        done: dict[str, Any] = bounded.parsed(bounded.content(file))
        sequence = done["sequence"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{str(file)!r} cannot be read: {reason(error)}.", mend="Remove it, and the models are measured again."
        ) from error
    if sequence != _stated(asked):
        raise ConfigError(f"{str(folder)!r} holds another sequence.", mend="Name another folder.")
    return done


def _keep(folder: Path, asked: Sequence, matrix: list[list[float]], lower: bool) -> None:
    """Write what has been measured so far, so that a sequence that is stopped goes on."""
    content = {"sequence": _stated(asked), "matrix": matrix, "lower_is_better": lower}
    write_atomic(folder / FILE, (json.dumps(plain(content), indent=1) + "\n").encode())


def _results(asked: Sequence, matrix: list[list[float]], lower: bool, runs: list[Run]) -> dict[str, Any]:
    forgotten = measures.forgetting(matrix, lower)
    return {
        "sequence": _stated(asked),
        "tasks": [task.name for task in asked.tasks],
        "remedy": asked.remedy,
        "metric": asked.metric,
        "lower_is_better": lower,
        "matrix": matrix,
        "average": measures.average(matrix, lower),
        "forgetting": forgotten,
        "mean_forgetting": sum(forgotten) / len(forgotten),
        "backward_transfer": measures.backward_transfer(matrix, lower),
        "forward_transfer": measures.forward_transfer(matrix, lower),
        "runs": [str(run.path) for run in runs],
    }
