"""`genloom runs`: one row per run in a folder; imports no Keras."""

from __future__ import annotations

from typing import Any

import click

from genloom.cli.flags import json_flag
from genloom.cli.output import note, print_json, table

__all__ = ["runs"]


@click.command()
@click.argument("directory", metavar="[DIR]", type=click.Path(), default="runs", required=False)
@json_flag
def runs(directory: str, as_json: bool) -> None:
    """List the runs in DIR (default: runs) and the folders below it."""
    from genloom.runs import list_runs

    rows = list_runs(directory)
    if as_json:
        print_json(runs=rows)
        return
    if not rows:
        note(f"There are no runs in {directory}.")
        return
    headings = ("run", "model", "data", "engine", "seed", "step", "losses", "seconds", "scores", "status")
    table(headings, [_cells(row) for row in rows])
    for row in rows:
        if row["outdated"]:
            note(
                f"{row['path']}: its scores are of step {row['scored']}. Measure again: genloom evaluate {row['path']}"
            )


def _cells(row: dict[str, Any]) -> list[Any]:
    step = f"{row['step']}/{row['steps']}" if row["steps"] else row["step"]
    losses = " ".join(f"{name}={value:.4g}" for name, value in row["losses"].items() if isinstance(value, (int, float)))
    names = [row[key] for key in ("path", "id", "data", "engine", "seed")]
    scores = "" if row["scored"] is None else "outdated" if row["outdated"] else "current"
    return [*names, step, losses, round(row["seconds"], 1), scores, _status(row)]


def _status(row: dict[str, Any]) -> str:
    """Say of a run that stopped between two checkpoints which step it is sampled and goes on from."""
    if row["status"] != "interrupted" or row["saved"] == row["step"]:
        return str(row["status"])
    return f"interrupted, {'nothing' if row['saved'] is None else 'step ' + str(row['saved'])} saved"
