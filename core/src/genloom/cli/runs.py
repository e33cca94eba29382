"""`genloom runs`: one row per run in a folder; imports no Keras."""

from __future__ import annotations

import os
from typing import Any

import click

from genloom.cli.flags import json_flag
from genloom.cli.output import note, on_terminal, print_json, table

__all__ = ["runs"]


@click.command()
@click.argument("directory", metavar="[DIR]", type=click.Path(), default="runs", required=False)
@json_flag
def runs(directory: str, as_json: bool) -> None:
    """List the runs in DIR (default: runs) and the folders below it.

    In a pipe and with --json a row also says engine, seed, all losses, seconds, and whether its scores are outdated.
    """
    from genloom.runs import list_runs

    rows = list_runs(directory)
    if as_json:
        print_json(runs=rows)
        return
    if not rows:
        note(f"There are no runs in {directory}.")
        return
    if on_terminal():
        table(("run", "model", "data", "step", "loss", "status"), [_brief(row, directory) for row in rows])
    else:
        headings = ("run", "model", "data", "engine", "seed", "step", "losses", "seconds", "scores", "status")
        table(headings, [_cells(row) for row in rows])
    for row in rows:
        if row["history"]:
            note(f"{row['path']}: changed on the way, {row['history']}.")
        if row["outdated"]:
            note(
                f"{row['path']}: its scores are of step {row['scored']}. Measure again: genloom evaluate {row['path']}"
            )


def _brief(row: dict[str, Any], directory: str) -> list[Any]:
    """Return what fits into 80 columns: the path below the folder that was named, and the loss that counts."""
    losses = {name: value for name, value in row["losses"].items() if isinstance(value, (int, float))}
    chosen = [name for name in ("val_loss", "loss", *losses) if name in losses][:1]
    loss = " ".join(f"{name} {losses[name]:.4g}" for name in chosen)
    return [os.path.relpath(row["path"], directory), row["id"], row["data"], _step(row), loss, _status(row)]


def _step(row: dict[str, Any]) -> str:
    return f"{row['step']}/{row['steps']}" if row["steps"] else str(row["step"])


def _cells(row: dict[str, Any]) -> list[Any]:
    losses = " ".join(f"{name}={value:.4g}" for name, value in row["losses"].items() if isinstance(value, (int, float)))
    names = [row[key] for key in ("path", "id", "data", "engine", "seed")]
    scores = "" if row["scored"] is None else "outdated" if row["outdated"] else "current"
    return [*names, _step(row), losses, round(row["seconds"], 1), scores, _status(row)]


def _status(row: dict[str, Any]) -> str:
    """Say of a run without its last step's checkpoint which step it is sampled and goes on from."""
    if row["status"] in ("running", "finished") or row["saved"] == row["step"] or row["id"] is None:
        return str(row["status"])
    return f"{row['status']}, {'nothing' if row['saved'] is None else 'step ' + str(row['saved'])} saved"
