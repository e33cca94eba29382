"""What a run's report says of its updates: the fate of each, and the matrix of what they did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genloom.errors import RunError
from genloom.report import Section, rendered
from genloom.runs import Run
from genloom.runs.lineage import read
from genloom_adapt.matrix import Matrix

__all__ = ["updates"]

_TEMPLATE = Path(__file__).parent / "updates.html.j2"


def updates(run: Run) -> list[Section]:
    """Return the section of a run that was updated, nothing for another, or where its lineage cannot be read."""
    entries = _entries(run)
    if not entries:
        return []
    return [Section("Updates", html=rendered(_TEMPLATE, {"updates": entries, "versions": _matrix(entries)}))]


def _entries(run: Run) -> list[dict[str, Any]]:
    """Return the entries of the run's lineage, the oldest first; [] without any, or when they cannot be read."""
    try:
        entries = [{"scores": [], **entry} for entry in read(run.path)]
    except RunError:
        return []
    return entries if all(map(_is_update, entries)) else []


def _is_update(entry: Mapping[str, Any]) -> bool:
    scores = entry["scores"]
    if not isinstance(scores, list) or not all(map(_is_score, scores)):
        return False
    words = [entry.get(name) for name in ("run", "decision", *(["gate"] if scores else []))]
    return all(isinstance(word, str) for word in words) and (not scores or "lower_is_better" in entry)


def _is_score(score: Any) -> bool:
    if not isinstance(score, dict) or not isinstance(score.get("data"), str) or "role" not in score:
        return False
    return all(type(score.get(name)) in (int, float, type(None)) for name in ("before", "after"))


def _matrix(entries: Sequence[Mapping[str, Any]]) -> Matrix | None:
    """Return the matrix of what each promoted update did to every data set, None without any."""
    rows, data, names = _versions(entries)
    if len(rows) < 2:
        return None
    measured = next(entry for entry in entries if entry.get("scores"))
    labels = [name.rpartition("/")[2][:24] for name in data]
    return Matrix(rows, labels, measured["gate"], measured["lower_is_better"], names)


def _versions(entries: Sequence[Mapping[str, Any]]) -> tuple[list[list[float]], list[str], list[str]]:
    """Return (scores, NaN where unknown; data sets; versions) of promoted updates, their predecessors among them."""
    scores: dict[str, dict[str, float]] = {}
    before = "."
    for entry in entries:
        for score in entry["scores"]:
            was, now = (math.nan if score.get(name) is None else score[name] for name in ("before", "after"))
            scores.setdefault(before, {})[score["data"]] = was
            if entry["decision"] == "promoted":
                scores.setdefault(entry["run"], {})[score["data"]] = now
        before = entry["head"]
    names = list(dict.fromkeys(name for row in scores.values() for name in row))
    rows = [[row.get(name, math.nan) for name in names] for row in scores.values()]
    return rows, names, ["first training" if name == "." else name for name in scores]
