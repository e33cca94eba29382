"""`genloom evaluate`: scores beside the floor of real data and simple opponents."""

from __future__ import annotations

from typing import Any

import click

from genloom import engine
from genloom.cli import offers
from genloom.cli.flags import backend, json_flag, run_argument
from genloom.cli.output import note, print_json, table
from genloom.errors import RunError

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
@click.option("-n", "n", type=click.IntRange(min=1), help="Samples to draw; as many as are held out by default.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the samples.")
@click.option(
    "--post",
    multiple=True,
    metavar="NAME[:K=V,…]",
    help="Measure after this post-processor, too.",
    shell_complete=offers.postprocessors,
)
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
    from genloom.evaluation import evaluate as measure
    from genloom.evaluation import keep

    result = measure(opened, list(metrics) or None, n, seed, post=post or None, write=False)
    # Printed before they are written, so that a full disk loses none.
    if as_json:
        print_json(**result)
    else:
        table(("metric", "value", "floor", "n", "opponents"), [_cells(entry) for entry in result["results"]])
    try:
        keep(opened, result["results"])
    except RunError as error:
        note(f"Error: {error}")  # not raised: with --json, standard output holds one document
        ctx.exit(error.exit_code)


def _cells(entry: dict[str, Any]) -> tuple[Any, ...]:
    opponents = ", ".join(f"{name} {_number(score)}" for name, score in entry["opponents"].items())
    after = " after post" if entry["role"] == "post" else ""
    return entry["name"] + after, _number(entry["value"]), _number(entry["floor"]), entry["n"] or "", opponents


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
