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
    headings = ("run", "model", "data", "engine", "seed", "step", "losses", "seconds", "status")
    table(headings, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> list[Any]:
    step = f"{row['step']}/{row['steps']}" if row["steps"] else row["step"]
    losses = " ".join(f"{name}={value:.4g}" for name, value in row["losses"].items() if isinstance(value, (int, float)))
    names = [row[key] for key in ("path", "id", "data", "engine", "seed")]
    return [*names, step, losses, round(row["seconds"], 1), row["status"]]
