"""One table of many runs: a column holds scores of one fingerprint only, and seeds of one model are summed up."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["table"]

Entry = Mapping[str, Any]

_STATED = ("run", "model", "data", "seed", "step", "outdated")


def table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Arrange results in columns by name and fingerprint.

    Args:
        rows: one per run: "run", "model", "data" (its address), "seed", "config" (what its seeds share), "step" that
            was measured, whether it is "outdated", and "results" (metrics.json).

    Returns:
        "columns": name, fingerprint, n, lower_is_better, protocol; "rows": run, model, data, seed, step, outdated and
        "values" aligned with the columns, None where not measured; "references": the floor and the opponents, aligned
        too; "spread": for each model with several seeds, mean and standard deviation (n − 1) per column.
    """
    columns = _columns(rows)
    body = [{**{key: row[key] for key in _STATED}, "values": _values(row["results"], columns)} for row in rows]
    return {
        "schema_version": 1,
        "columns": list(columns.values()),
        "rows": body,
        "references": _references(rows, columns),
        "spread": _spread(rows, body),
    }


def _key(entry: Entry) -> tuple[str, str]:
    return entry["name"], entry["fingerprint"]


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    columns: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        for entry in row["results"]:
            fields = ("name", "fingerprint", "role", "n", "lower_is_better", "protocol")
            columns.setdefault(_key(entry), {field: entry.get(field) for field in fields})
    # Columns of one name stand side by side, in the order the names first appear.
    names = list(dict.fromkeys(name for name, _ in columns))
    return dict(sorted(columns.items(), key=lambda item: names.index(item[0][0])))


def _values(results: Sequence[Entry], columns: Mapping[tuple[str, str], Any]) -> list[float | None]:
    values = {_key(entry): entry["value"] for entry in results}
    return [values.get(key) for key in columns]


def _references(rows: Sequence[Mapping[str, Any]], columns: Mapping[tuple[str, str], Any]) -> list[dict[str, Any]]:
    found: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        for entry in row["results"]:
            scores = {"floor": entry.get("floor"), **(entry.get("opponents") or {})}
            for name, score in scores.items():
                if score is not None:
                    found.setdefault(name, {}).setdefault(_key(entry), score)
    return [{"name": name, "values": [scores.get(key) for key in columns]} for name, scores in found.items()]


def _spread(rows: Sequence[Mapping[str, Any]], body: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row, line in zip(rows, body, strict=True):
        groups.setdefault(json.dumps(row["config"], sort_keys=True), []).append(line)
    return [
        {
            "model": lines[0]["model"],
            "seeds": [line["seed"] for line in lines],
            "values": [_summary(column) for column in zip(*(line["values"] for line in lines), strict=True)],
        }
        for lines in groups.values()
        if len({line["seed"] for line in lines}) > 1
    ]


def _summary(column: Sequence[float | None]) -> dict[str, float] | None:
    values = [value for value in column if value is not None]
    if len(values) < 2:
        return None
    return {"mean": statistics.fmean(values), "deviation": statistics.stdev(values), "runs": len(values)}
