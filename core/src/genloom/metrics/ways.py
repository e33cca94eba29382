"""Scores of one name that were measured in several ways: what tells the ways apart, and what makes them alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genloom.files import bounded

__all__ = ["alike", "ways"]

Comparison = Mapping[str, Any]

#: What a protocol's other fields are called, the plainest first.
_FIELDS = {
    "reference_n": "real n",
    "features": "features",
    "features_digest": "weights",
    "shape": "shape",
    "resizing": "resizing",
    "revision": "revision",
}
_LONGEST = 24  # characters of a value


def ways(comparison: Comparison) -> list[str]:
    """Return what sets each column apart from the others of its name, such as "n=20"; "" where there is no other.

    Args:
        comparison: what `genloom.metrics.table.table` returned.
    """
    columns = comparison["columns"]
    found = [""] * len(columns)
    for places in _by_name(columns).values():
        facts = [_facts(columns[place], _data(comparison, place)) for place in places]
        for place, text in zip(places, _apart(facts), strict=True):
            found[place] = text
    return found


def alike(comparison: Comparison) -> list[str]:
    """Return a sentence on each run that was measured with fewer samples than another, with the command that mends it.

    Runs on unlike data, and those that have a score of every name in common, need none.
    """
    told = []
    for rows in _on_one_data(comparison["rows"]):
        drawn = [_drawn(row, comparison["columns"]) for row in rows]
        if _divided(rows, comparison["columns"]):
            few = [(row["run"], n) for row, n in zip(rows, drawn, strict=True) if n < max(drawn)]
            told += [_mend(run, n, max(drawn)) for run, n in few]
    return told


def _mend(run: str, n: int, most: int) -> str:
    mend = f"To compare them: genloom evaluate {run} -n {most}"
    return f"{run} was measured with n={n}, others with n={most}. {mend}"


def _by_name(columns: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, column in enumerate(columns):
        places.setdefault(column["name"], []).append(place)
    return places


def _data(comparison: Comparison, place: int) -> str:
    """Return the addresses of the data that a column was measured on."""
    measured = (row for row in comparison["rows"] if row["values"][place] is not None)
    return ", ".join(sorted({str(row["data"]) for row in measured}))


def _facts(column: Mapping[str, Any], data: str) -> dict[str, str]:
    """Return name → text of how a column was measured; a run's file may hold anything in its place."""
    protocol = column["protocol"] if isinstance(column["protocol"], dict) else {}
    stated = {"n": protocol.get("n"), "data": data, **{name: protocol.get(key) for key, name in _FIELDS.items()}}
    facts = {name: f"{name}={str(value)[:_LONGEST]}" for name, value in stated.items() if value not in (None, "")}
    return {**facts, **_settings(str(protocol.get("setting", ""))), "fingerprint": column["fingerprint"][:6]}


def _settings(text: str) -> dict[str, str]:
    """Return what else a score depends on: the model of a loss, in JSON; engine and machine of a cost, a list."""
    try:
        stated = bounded.parsed(text.encode())
    except ValueError:
        return {"setting": text}
    if not isinstance(stated, dict):
        return {"setting": text}
    options = stated.pop("options", None)
    stated |= options if isinstance(options, dict) else {}
    return {name: f"{name}={str(value)[:_LONGEST]}" for name, value in stated.items()}


def _apart(facts: Sequence[Mapping[str, str]]) -> list[str]:
    """Add one fact after the other that tells some apart, until none are alike."""
    texts = [""] * len(facts)
    for name in dict.fromkeys(itertools.chain(*facts)):
        said = [each.get(name, "") for each in facts]
        said = _unshared(said) if name == "setting" else said
        more = [f"{text} {word}".strip() for text, word in zip(texts, said, strict=True)]
        texts = more if len(set(more)) > len(set(texts)) else texts
    return texts


def _unshared(lists: Sequence[str]) -> list[str]:
    """Return lists, a, b, c, without what all of them have."""
    parts = [text.split(", ") for text in lists]
    shared = set(parts[0]).intersection(*parts)
    return [", ".join(part for part in each if part not in shared) for each in parts]


def _on_one_data(rows: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row["data"]), []).append(row)
    return list(groups.values())


def _drawn(row: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> int:
    """Return how many samples a run was measured with, at most."""
    measured = (column for column, value in zip(columns, row["values"], strict=True) if value is not None)
    return max((column["n"] or 0 for column in measured if column["role"] != "loss"), default=0)


def _divided(rows: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether runs that have a score of one name have none in common."""
    for places in _by_name(columns).values():
        scored = [place for place in places if columns[place]["role"] == "score"]
        having = [row for row in rows if any(row["values"][place] is not None for place in scored)]
        if having and not any(all(row["values"][place] is not None for row in having) for place in scored):
            return True
    return False
