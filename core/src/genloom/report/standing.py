"""The measured table of a comparison: a metric per row, a model per column, the best marked, references apart."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genloom.report import facts
from genloom.report.numerals import ABSENT, count, duration, number
from genloom.runs import Run

__all__ = ["cost_rows", "groups", "measured_groups"]

#: Its index in the comparison, what it is, and each model's scores.
_Column = tuple[int, Mapping[str, Any], dict[str, list[float]]]

DIVERSITY = ("recall", "coverage", "modes", "diversity", "is[", "nearest")
DIRECTIONS = {
    True: ("↓", "lower is better"),
    False: ("↑", "higher is better"),
    None: ("≈", "nearer to real data is better"),
}
HEADINGS = {"quality": "Quality", "diversity": "Diversity", "cost": "Cost"}


def groups(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return label → runs: seeds of one configuration together, anything else by itself."""
    by_model: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        config = run.config
        model = {key: value for key, value in facts.table(config, "model").items() if key != "seed"}
        training = {k: v for k, v in facts.table(config, "training").items() if k != "seed"}
        shared = repr(
            (sorted(facts.flat(model)), sorted(facts.flat(training)), facts.table(config, "data").get("address"))
        )
        by_model.setdefault(str(model.get("id", "?")), {}).setdefault(shared, []).append(run)
    named: dict[str, list[Run]] = {}
    for model_id, configurations in by_model.items():
        for members in configurations.values():
            label = model_id if len(configurations) == 1 else f"{model_id} · {members[0].path.name}"
            named.setdefault(label, []).extend(members)
    return named


def measured_groups(comparison: Mapping[str, Any], models: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """Return [{"title", "rows"}] for quality, diversity and cost; held-out losses of a model's own do not compare.

    Each row has "name", "arrow", "n", "fingerprint", "cells" (per model: text, deviation, best) and "references".
    """
    references = [_pair(reference) for reference in comparison.get("references", [])]
    sections: dict[str, list[dict[str, Any]]] = {heading: [] for heading in HEADINGS}
    for index, column, scores in _shown(comparison, models):
        kind = _kind(column)
        floor = _at(dict(references).get("floor", []), index)
        row = _row(column, scores, floor)
        row["references"] = [(name, number(_at(values, index))) for name, values in references]
        sections[kind].append(row)
    sections["cost"] += cost_rows(models, [name for name, _ in references])
    return [{"title": HEADINGS[kind], "rows": rows} for kind, rows in sections.items() if rows]


def _shown(comparison: Mapping[str, Any], models: Mapping[str, Sequence[Run]]) -> list[_Column]:
    """Return (index, column, scores by model) of the columns that give each model one figure of each measure.

    Of a measure taken in several ways the one that most models share is shown, of those the last; another one follows
    only for models without a figure, since scores of unlike protocols do not stand in one row.
    """
    found: list[_Column] = []
    for index, column in enumerate(comparison.get("columns", [])):
        if column.get("role") != "loss":
            scores = {label: _scores(comparison, members, index) for label, members in models.items()}
            found.append((index, column, scores))
    shown: list[_Column] = []
    told: set[tuple[str, str]] = set()
    for index, column, scores in sorted(found, key=_reach, reverse=True):
        new = {label: [] if (column["name"], label) in told else values for label, values in scores.items()}
        if any(new.values()):
            told |= {(column["name"], label) for label, values in new.items() if values}
            shown.append((index, column, new))
    return sorted(shown, key=lambda each: each[0])


def _reach(column: _Column) -> tuple[int, int]:
    return sum(map(bool, column[2].values())), column[0]


def cost_rows(models: Mapping[str, Sequence[Run]], references: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows that run directories themselves state: time of training and size."""
    rows = [
        _cost_row(
            "training time", {label: list(map(_seconds, members)) for label, members in models.items()}, duration
        ),
        _cost_row("parameters", {label: [run.parameters for run in m] for label, m in models.items()}, count),
    ]
    return [{**row, "references": [(name, ABSENT) for name in references]} for row in rows if row is not None]


def _cost_row(
    name: str, stated: Mapping[str, Sequence[float | None]], shape: Callable[[Any], str]
) -> dict[str, Any] | None:
    known = {label: [float(value) for value in values if value] for label, values in stated.items()}
    if not any(known.values()):
        return None
    row = _row({"name": name, "lower_is_better": True}, known, None)
    cells = [
        {**cell, "text": shape(statistics.fmean(values) if values else None), "deviation": None}
        for cell, values in zip(row["cells"], known.values(), strict=True)
    ]
    return {**row, "cells": cells}


def _row(column: Mapping[str, Any], scores: Mapping[str, Sequence[float]], floor: float | None) -> dict[str, Any]:
    means = {label: statistics.fmean(values) for label, values in scores.items() if values}
    lower = column.get("lower_is_better")
    best = _best(means, lower, floor)
    cells = []
    for label, values in scores.items():
        text = number(means.get(label))
        cells.append({"text": text, "deviation": _deviation(values), "best": label in best})
    arrow, meaning = DIRECTIONS[lower]
    fingerprint = str(column.get("fingerprint") or "")[:8]
    n = column.get("n") or None
    return {
        "name": column["name"],
        "arrow": arrow,
        "meaning": meaning,
        "n": n,
        "fingerprint": fingerprint,
        "cells": cells,
    }


def _deviation(values: Sequence[float]) -> str | None:
    """Return the standard deviation over seeds with the decimals of the mean, None for one value."""
    if len(values) < 2:
        return None
    deviation, mean = statistics.stdev(values), statistics.fmean(values)
    text = number(deviation, like=mean)
    hidden = deviation > 0 and not any(digit in text for digit in "123456789")
    return f"< {text[:-1]}1" if hidden else text


def _best(means: Mapping[str, float], lower: bool | None, floor: float | None) -> set[str]:
    """Return the labels with the best mean; nobody is best alone, or where there is no measure of best."""
    if len(means) < 2 or (lower is None and floor is None):
        return set()
    distance = {
        label: abs(mean - (floor or 0.0)) if lower is None else (mean if lower else -mean)
        for label, mean in means.items()
    }
    least = min(distance.values())
    return {label for label, value in distance.items() if value == least}


def _scores(comparison: Mapping[str, Any], members: Sequence[Run], index: int) -> list[float]:
    paths = {run.path.resolve() for run in members}
    rows = [row for row in comparison.get("rows", []) if Path(str(row.get("run"))).resolve() in paths]
    values = [_at(row.get("values", []), index) for row in rows]
    return [value for value in values if value is not None]


def _pair(reference: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
    return str(reference.get("name", "?")), reference.get("values", [])


def _at(values: Sequence[Any], index: int) -> float | None:
    value = values[index] if index < len(values) else None
    return float(value) if isinstance(value, (int, float)) else None


def _kind(column: Mapping[str, Any]) -> str:
    if column.get("role") == "cost":
        return "cost"
    return "diversity" if str(column["name"]).startswith(DIVERSITY) else "quality"


def _seconds(run: Run) -> float | None:
    seconds = [entry["seconds"] for entry in run.log() if isinstance(entry.get("seconds"), (int, float))]
    return float(seconds[-1]) if seconds else None
