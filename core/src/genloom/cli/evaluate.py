"""`genloom evaluate`: scores beside the floor of real data and simple opponents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from genloom import engine
from genloom.cli import offers
from genloom.cli.flags import SAMPLES, backend, json_flag, post_flag, run_argument, seed_flag
from genloom.cli.output import note, number_cell, on_terminal, print_json, table
from genloom.errors import DataError, RunError

__all__ = ["evaluate"]


@click.command()
@run_argument
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="M",
    help="Measure only this one (repeatable).",
    shell_complete=offers.metrics,
)
@click.option("-n", "n", type=SAMPLES, help="Samples to draw; as many as are held out by default.")
@seed_flag("Seed of the samples.")
@post_flag("Measure after this post-processor, too.")
@backend
@json_flag
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    run: str,
    metrics: tuple[str, ...],
    n: int | None,
    seed: int,
    post: tuple[str, ...],
    backend: str | None,
    as_json: bool,
) -> None:
    """Measure RUN against held-out data and keep the results in RUN/metrics.json.

    The floor is what real held-out data score at the same number of samples; opponents are simple models. With
    post-processors, those of --post or the run's own, scores before and after stand side by side.
    """
    from genloom.runs import open_run

    opened = open_run(run)
    engine.choose(backend)
    from genloom.evaluation.evaluate import evaluate as measure
    from genloom.evaluation.evaluate import keep

    result = measure(opened, list(metrics) or None, n, seed, post=post or None, write=False)
    # Printed before they are written, so that a full disk loses none.
    if as_json:
        print_json(**result)
    else:
        _print(result["results"])
        note(f"{result['n']} samples were drawn.")
    try:
        keep(opened, result["results"])
    except RunError as error:
        note(f"Error: {error}")  # not raised: with --json, standard output holds one document
        ctx.exit(error.exit_code)
    if metrics and any("reason" in entry for entry in result["results"]):
        ctx.exit(DataError.exit_code)  # as for one that is named and needs more samples


def _print(results: Sequence[Mapping[str, Any]]) -> None:
    """Print a row of each measure; on a terminal with its direction, and a column of each opponent."""
    if not on_terminal():
        table(("metric", "value", "floor", "n", "opponents"), [_cells(entry) for entry in results])
        return
    from genloom.report.standing import DIRECTIONS

    opponents = list(dict.fromkeys(name for entry in results for name in entry["opponents"]))
    rows = []
    for entry in results:
        name = f"{entry['name']} {DIRECTIONS[entry['lower_is_better']][0]}{_after(entry)}"
        others = [number_cell(entry["opponents"].get(opponent)) for opponent in opponents]
        rows.append((name, number_cell(entry["value"]), number_cell(entry["floor"]), *others))
    table(("measure", "value", "real data", *opponents), rows, split=True)


def _after(entry: Mapping[str, Any]) -> str:
    return " after post" if entry["role"] == "post" else ""


def _cells(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    opponents = ", ".join(f"{name} {number_cell(score)}" for name, score in entry["opponents"].items())
    return (
        entry["name"] + _after(entry),
        number_cell(entry["value"]),
        number_cell(entry["floor"]),
        entry["n"] or "",
        opponents,
    )
