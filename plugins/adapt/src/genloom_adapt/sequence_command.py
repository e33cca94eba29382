"""`genloom sequence`: learn tasks one after the other, and see what each did to those before it."""

from __future__ import annotations

import click

from genloom import engine
from genloom.cli.flags import backend, json_flag
from genloom.cli.output import note, print_json, table

__all__ = ["sequence"]


@click.command()
@click.argument("file", metavar="TASKS.toml", type=click.Path())
@click.option("--out", required=True, type=click.Path(), metavar="DIR", help="Folder of the runs and of the results.")
@backend
@json_flag
def sequence(file: str, out: str, backend: str | None, as_json: bool) -> None:
    """Train the tasks of a file in order; after each, every task is scored.

    The file names model, preset, options, remedy, metric, seed, [training] and two [[tasks]] or more, each with name,
    data and training. Remedies: replay, ewc, l2sp, lwf, agem, adapters (of its own for each task) or none. Stopped,
    the same command goes on. DIR/report.html shows the matrix.
    """
    engine.choose(backend)
    from genloom_adapt.sequence import run_sequence

    found = run_sequence(file, out)
    if as_json:
        print_json(**found)
        return
    names = found["tasks"]
    moments = ["untrained", *(f"after {name}" for name in names)]
    rows = [(moment, *(f"{v:.4g}" for v in row)) for moment, row in zip(moments, found["matrix"], strict=True)]
    table((found["metric"], *names), rows, split=True)
    told = {name: found[name] for name in ("average", "mean_forgetting", "backward_transfer", "forward_transfer")}
    note(", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in told.items()))
