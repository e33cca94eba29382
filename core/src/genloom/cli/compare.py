"""`genloom compare`: measured runs side by side; scores with different fingerprints never share a row."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

from genloom.cli.flags import json_flag, runs_argument
from genloom.cli.output import note, number_cell, print_json, table

__all__ = ["compare"]


@click.command()
@runs_argument
@click.option("--out", metavar="report.html", type=click.Path(), help="Write the comparison as one HTML file.")
@json_flag
def compare(runs: tuple[str, ...], out: str | None, as_json: bool) -> None:
    """Compare runs that `genloom evaluate` has measured.

    A row is a measure: ↓ lower is better, ↑ higher is better, ≈ nearer to real data is better. Real data and simple
    opponents stand beside the runs; scores measured in different ways get rows of their own, which say what differs.
    """
    from genloom.evaluation.compare import compare as lay_out

    result = lay_out(list(runs))
    written = _report(runs, out) if out is not None else None
    if as_json:
        print_json(**result, **({"out": written} if written is not None else {}))
        return
    _print(result)
    if written is not None:
        note(f"Report: {written}")


def _print(result: Mapping[str, Any]) -> None:
    from genloom.metrics.ways import alike

    rows, references = result["rows"], result["references"]
    names = _short([row["run"] for row in rows])
    marked = [name + ("*" if row["outdated"] else "") for name, row in zip(names, rows, strict=True)]
    lines = [(name, *(row[name] for row in rows), *[""] * len(references)) for name in ("model", "seed")]
    for number, measure in enumerate(_measures(result)):
        lines.append((measure, *(number_cell(row["values"][number]) for row in (*rows, *references))))
    others = ["real data" if each["name"] == "floor" else each["name"] for each in references]
    table(("measure", *marked, *others), lines, split=True)
    for name, row in zip(names, rows, strict=True):
        if row["outdated"]:
            note(f"* {name}: scores of step {row['step']}, trained further since: genloom evaluate {row['run']}")
    for sentence in alike(result):
        note(sentence)


def _measures(result: Mapping[str, Any]) -> list[str]:
    """Return name and direction of each measure; of one name measured in several ways, also the way."""
    from genloom.metrics.ways import ways
    from genloom.report.standing import DIRECTIONS

    return [
        f"{column['name']} {DIRECTIONS[column['lower_is_better']][0]} {way}".rstrip()
        for column, way in zip(result["columns"], ways(result), strict=True)
    ]


def _short(paths: Sequence[str]) -> list[str]:
    """Return the paths without the folder that all of them are in."""
    if len(paths) < 2:
        return [os.path.basename(os.path.normpath(path)) for path in paths]
    shared = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    return [os.path.relpath(path, shared) for path in paths]


def _report(runs: tuple[str, ...], out: str) -> Any:
    from genloom import report

    return report.write_comparison(list(runs), out)
