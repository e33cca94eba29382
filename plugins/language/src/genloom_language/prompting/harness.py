"""`prompt`: what a model scores on a task after k examples, beside chance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import genloom
from genloom import Run
from genloom.data import drawn_rows
from genloom.errors import ConfigError
from genloom.files import bounded
from genloom.files.atomic import write_atomic
from genloom.metrics import Fingerprint, MetricResult
from genloom.runs import open_run
from genloom_language.prompting.measures import Measure, choice_measures, cloze_measures, generation_measures
from genloom_language.prompting.scoring import Scorer, encode_text
from genloom_language.prompting.task import Item, Task
from genloom_language.tokens import SPECIAL, decode_after, opening, shortened

__all__ = ["FILE", "prompt"]

#: Name of the results' file in a run.
FILE = "prompting.json"


def prompt(
    model_or_run: Any,
    task: Task,
    k: int | Sequence[int] | None = None,
    seed: int | None = None,
    limit: int | None = None,
    *,
    records: bool = False,
) -> dict[str, Any]:
    """Ask a model the questions of a task, and keep the results of a run in RUN/prompting.json.

    Args:
        model_or_run: a run, its path, or an opened model with a tokenizer.
        task: what is asked; see `load_task`.
        k: examples before each question, or several numbers of them; None for what the task says.
        seed: draws the examples; None for what the task says.
        limit: only so many items, drawn once for all models; None for all.
        records: whether the results hold each item's own values, too.

    Returns:
        schema_version, run (None for a model), task, kind, seed, n, and "results": one dict per k and measure, as
        `MetricResult.to_dict` has them, with "k", "stderr", "cut" (how many contexts lost their beginning) and, when
        asked for, "records", one value per item.

    Raises:
        ConfigError: no run there, no tokenizer, a number below its least, more examples than there are, or a text that
            the tokenizer does not know.
    """
    seed, numbers = task.seed if seed is None else seed, _numbers(task, k)
    _check_least(k=min(numbers), seed=seed)
    n = len(task.items) if limit is None else min(limit, len(task.items))
    _check_least(1, limit=n)
    rows = drawn_rows(len(task.items), n).tolist()
    items = [task.items[row] for row in rows]
    contexts = {k: [task.context(row, k, seed) for row in rows] for k in numbers}
    run = open_run(model_or_run) if isinstance(model_or_run, (str, Path)) else model_or_run
    run = run if isinstance(run, Run) else None
    model = model_or_run if run is None else genloom.load(run)
    scorer = Scorer(model)
    results = []
    for k in numbers:
        measures, cut = _answered(model, scorer, task, items, contexts[k])
        shared = {"task": task.name, "k": k, "cut": cut}
        results += [_entry(measure, task, k, seed, n) | shared | _records(measure, records) for measure in measures]
    if run is not None:
        results = [{**entry, "step": model.loaded_step} for entry in results]
        _keep(run.path / FILE, results)
    head = {"schema_version": 1, "run": None if run is None else str(run.path), "task": task.name, "kind": task.kind}
    return {**head, "seed": seed, "n": n, "results": results}


def _numbers(task: Task, k: int | Sequence[int] | None) -> list[int]:
    if k is None:
        return [task.k]
    numbers = [k] if isinstance(k, int) else list(dict.fromkeys(k))
    if not numbers:
        raise ConfigError("No number of examples is given.", mend="Give k=0 or more.")
    return numbers


def _check_least(least: int = 0, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}.")


def _answered(
    model: Any, scorer: Scorer, task: Task, items: list[Item], contexts: list[str]
) -> tuple[list[Measure], int]:
    """Return the measures, and how many contexts were cut."""
    if task.kind == "generation":
        texts, lost = _generated(model, task, contexts)
        return generation_measures(items, texts), int((lost > 0).sum())
    asked = [(row, answer) for row, item in enumerate(items) for answer in item.answers]
    scores = scorer([contexts[row] for row, _ in asked], [task.answered(items[row], answer) for row, answer in asked])
    cut = len({row for (row, _), lost in zip(asked, scores.cut, strict=True) if lost})
    if task.kind == "cloze":
        return cloze_measures(items, scores.log_likelihood, scores.greedy), cut
    ends = np.cumsum([len(item.answers) for item in items])
    return choice_measures(items, np.split(scores.log_likelihood, ends[:-1])), cut


def _generated(model: Any, task: Task, contexts: list[str]) -> tuple[list[str], NDArray[np.intp]]:
    """Return what the model goes on with, greedily, and the tokens that each context lost."""
    most = min(task.answer_tokens, model.length // 2)
    tokens = np.full((len(contexts), model.length), model.start, np.int32)
    given, cut = np.ones(len(contexts), np.int32), np.zeros(len(contexts), np.intp)
    first = opening(model.tokenizer)
    for row, context in enumerate(contexts):
        ids = np.array([*first, *encode_text(model, context)], np.int32)
        kept = shortened(ids, model.length - most, len(first))
        if len(kept):
            tokens[row, : len(kept)], given[row], cut[row] = kept, len(kept), len(ids) - len(kept)
    drawn = genloom.sample(
        model, len(contexts), condition={"tokens": tokens, "given": given}, temperature=0.0, max_tokens=most, post=()
    ).samples
    texts = [
        decode_after(model.tokenizer, row[: start + most].tolist(), start)
        for row, start in zip(drawn, given.tolist(), strict=True)
    ]
    ends = [model.tokenizer.id_to_token(end) for end in model.ends]
    return [_until(text, (task.stop, *SPECIAL.values(), *ends)) for text in texts], cut


def _until(text: str, stops: Sequence[str]) -> str:
    for stop in stops:
        text = text.partition(stop)[0] if stop else text
    return text


def _entry(measure: Measure, task: Task, k: int, seed: int, n: int) -> dict[str, Any]:
    name = f"{measure.name}[{task.name},{k}-shot]"
    drawn = {"items": "drawn"} if n < len(task.items) else {}
    setting = json.dumps({"k": k, "seed": seed, **drawn}, sort_keys=True)
    fingerprint = Fingerprint(metric=name, data=task.digest, n=n, setting=setting)
    result = MetricResult(name, measure.value, n, measure.lower_is_better, fingerprint, measure.floor)
    return {**result.to_dict(), "measure": measure.name, "stderr": measure.stderr}


def _records(measure: Measure, wanted: bool) -> dict[str, Any]:
    return {"records": measure.each.tolist()} if wanted else {}


def _keep(file: Path, results: list[dict[str, Any]]) -> None:
    """Write the results, and keep earlier ones of the same weights that are not measured now."""
    steps, now = {entry["step"] for entry in results}, {entry["fingerprint"] for entry in results}
    kept = [entry for entry in _earlier(file) if entry.get("step") in steps and entry.get("fingerprint") not in now]
    text = json.dumps([_finite(entry) for entry in (*kept, *results)], indent=1, allow_nan=False) + "\n"
    write_atomic(file, text.encode())


def _earlier(file: Path) -> list[Mapping[str, Any]]:
    try:
        found = bounded.parsed(bounded.content(file))
    except (OSError, ValueError):
        return []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _finite(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with null for numbers that are not finite, as JSON has none."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in entry.items()
    }
