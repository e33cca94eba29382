"""`update`: train on new data, ask a gate about the new and the old, then promote the result or leave it.

Every update is a run of its own in RUN/updates; what counts is the head of RUN/lineage.jsonl. A kill at any instant
leaves the old weights in place, and the same call goes on.
"""

from __future__ import annotations

import dataclasses
import datetime
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import genloom
from genloom.arguments import instance, seed_number
from genloom.data.agreement import check_classes, check_units
from genloom.errors import ConfigError
from genloom.evaluation.judging import Judge
from genloom.options import LARGEST
from genloom.runs import Run, open_run
from genloom.runs.lineage import UPDATES, head, read, record, versions
from genloom.training import INHERITED
from genloom_adapt.ancestry import old_data

if TYPE_CHECKING:
    from genloom.data import Data, Dataset

__all__ = ["rollback", "update"]


@dataclasses.dataclass(frozen=True)
class _Score:
    """What the gate says of one data set."""

    data: str
    role: str
    before: float
    after: float
    passed: bool


def update(
    run: str | Path,
    data: Data,
    gate: str = "test_loss",
    *,
    tolerance: float = 0.02,
    retain: str | None = "replay:share=0.2",
    adapt: str | None = None,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """Train a run's model on new data, and let the result count if it is better on them and no worse on the old.

    Args:
        run: a run directory; the update starts from its own weights, or from those of its last promoted update.
        data: address of the new data, or arrays; they are opened as the old ones were.
        gate: what is asked: a held-out loss of the model, such as test_loss, or a metric of samples, such as fd[pca20].
        tolerance: by which share of its value before the gate may be worse on each of the old data sets.
        retain: remedy against forgetting, None for none.
        adapt: adapters to train in place of the weights.
        seed: of the training.
        **settings: of the training (`genloom.train`): epochs, steps, learning_rate, …; the run's own by default.

    Returns:
        The entry of the lineage: "update" (its number), "decision" (promoted or rejected), "head" (the folder whose
        weights count now), "run" (the folder of this update), "data", "fingerprint", "gate", "tolerance", "retain",
        "scores" (each with "data", "role" new or old, "before", "after", "passed") and "when".

    Raises:
        ConfigError: no run, a gate that does not apply, data of another kind, in other units or of other classes, or
            settings that do not fit.
        DataError: data that cannot be opened, or old data that changed.
        RunError: the training failed; the old weights stay.
    """
    _check_tolerance(tolerance)
    instance("gate", gate, str, "a text", mend="Use a measure with a direction, such as test_loss or fd.")
    seed = seed_number(seed)
    home = open_run(run, head=False)
    with home.lock():
        current = Run(head(home.path))
        model, new = genloom.load(current), genloom.data.open(data)
        _check_same_kind(current, model.spec, new)
        judged, judge = (new, *old_data(current)), Judge(gate)
        for dataset in judged:
            judge.check(model, dataset)
        before = [judge(model, dataset) for dataset in judged]
        candidate = _candidate(home, new.address, retain, adapt)
        asked = {**_settings(current, settings), **settings, "retain": retain, "adapt": adapt, "seed": seed}
        updated = genloom.load(_trained(current, data, candidate, asked))
        after = [judge(updated, dataset)[0] for dataset in judged]
        lower = before[0][1]
        scores = _scores(judged, [was for was, _ in before], after, lower, tolerance)
        terms = {"gate": gate, "lower_is_better": lower, "tolerance": tolerance, "retain": retain, "adapt": adapt}
        entry = _entry(home, current, candidate, new, terms, scores)
        record(home.path, entry)
        return entry


def _check_tolerance(tolerance: float) -> None:
    instance("tolerance", tolerance, numbers.Real, "a number", mend="0.02 allows 2 % worse.")
    if not 0 <= tolerance <= LARGEST:
        raise ConfigError(f"tolerance must not be negative, and at most {LARGEST:g}, got {tolerance}.")


def _scores(
    judged: Sequence[Dataset], before: Sequence[float], after: Sequence[float], lower: bool, tolerance: float
) -> list[_Score]:
    """Better is asked for on the new data, the first; on old data no worse than the tolerance allows."""
    scores = []
    for i, (dataset, was, now) in enumerate(zip(judged, before, after, strict=True)):
        gain = was - now if lower else now - was
        passed = gain >= -tolerance * abs(was) if i else gain > 0
        scores.append(_Score(dataset.address, "old" if i else "new", was, now, passed))
    return scores


def _entry(
    home: Run, current: Run, candidate: Path, new: Dataset, terms: Mapping[str, Any], scores: Sequence[_Score]
) -> dict[str, Any]:
    """Return what the lineage says of an update: the candidate counts now if it passed everywhere."""
    promoted = all(score.passed for score in scores)
    return {
        "update": int(candidate.name),
        "decision": "promoted" if promoted else "rejected",
        "head": _name(home, candidate if promoted else current.path),
        "run": _name(home, candidate),
        "data": new.address,
        "fingerprint": new.fingerprint,
        **terms,
        "scores": [dataclasses.asdict(score) for score in scores],
        "when": _now(),
    }


def _trained(current: Run, data: Data, folder: Path, asked: dict[str, Any]) -> Run:
    """Train the model of a run on new data from its weights, or go on with what was begun in the folder."""
    stated = current.config["model"]
    run: Run = genloom.train(
        stated["id"],
        data,
        preset=stated.get("preset"),
        options=stated.get("options"),
        init_from=current.path,
        out=folder,
        resume=(folder / "run.toml").is_file(),
        **asked,
    )
    return run


def rollback(run: str | Path) -> dict[str, Any]:
    """Let the weights before the last promoted update count again; nothing is deleted.

    Returns:
        The entry of the lineage, whose "head" is the folder that counts now.

    Raises:
        ConfigError: no run, or no update to take back.
    """
    home = open_run(run, head=False)
    with home.lock():
        counted = versions(home.path)
        now = counted[-1]
        # What an earlier rollback took back is not gone back to.
        before = counted[counted.index(now) - 1] if counted.index(now) else None
        if before is None:
            raise ConfigError(f"{str(home.path)!r} has no promoted update to take back.")
        entry = {"decision": "rolled back", "head": before, "run": now, "when": _now()}
        record(home.path, entry)
        return entry


def _check_same_kind(run: Run, spec: Any, new: Dataset) -> None:
    for name in ("kind", "shape", "value_range", "vocabulary", "classes"):
        was, now = getattr(spec, name), getattr(new.spec, name)
        if was != now:
            raise ConfigError(
                f"{new.address} has {name}={now!r}, what {str(run.path)!r} was trained on has {was!r}.",
                mend="Open the new data with the options of the old; text with tokenizer=RUN/tokenizer.json.",
            )
    known = repr(str(run.path))
    check_classes(new.address, new.spec, spec, known)
    check_units(new.address, new.spec, spec, known)


def _settings(run: Run, asked: dict[str, Any]) -> dict[str, Any]:
    stored = run.config["training"]
    kept = [name for name in INHERITED if name in stored]
    if {"epochs", "steps"} & asked.keys():
        kept = [name for name in kept if name not in ("epochs", "steps")]
    return {name: stored[name] for name in kept} | {"sample_every": 0}


def _candidate(home: Run, data: str, retain: str | None, adapt: str | None) -> Path:
    """Return the folder of an update that was begun like this and not judged, or a new one."""
    judged = {entry.get("run") for entry in read(home.path)}
    number = 1
    while True:
        folder = home.path / UPDATES / f"{number:03d}"
        if not folder.exists():
            return folder
        begun = Run(folder)
        if _name(home, folder) not in judged and begun.exists:
            config = begun.config
            same = (config["data"]["address"], config["training"].get("retain"), config["training"].get("adapt"))
            if same == (data, retain, adapt):
                return folder
        number += 1


def _name(home: Run, folder: Path) -> str:
    return folder.relative_to(home.path).as_posix()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
