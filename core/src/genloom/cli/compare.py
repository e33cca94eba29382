"""`genloom compare`: measured runs side by side; scores with different fingerprints never share a column."""

from __future__ import annotations

from typing import Any

import click

from genloom.cli.flags import json_flag
from genloom.cli.output import note, print_json, table

__all__ = ["compare"]


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN…", type=click.Path())
@click.option("--out", metavar="report.html", type=click.Path(), help="Write the comparison as one HTML file.")
@json_flag
def compare(runs: tuple[str, ...], out: str | None, as_json: bool) -> None:
    """Compare runs that `genloom evaluate` has measured."""
    from genloom.evaluation import compare as lay_out

    result = lay_out(list(runs))
    written = _report(runs, out) if out is not None else None
    if as_json:
        print_json(**result, **({"out": written} if written is not None else {}))
        return
    headings = ("run", "model", "seed", *(column["name"] for column in result["columns"]))
    lines = [(row["run"], row["model"], row["seed"], *map(_number, row["values"])) for row in result["rows"]]
    lines += [(row["name"], "", "", *map(_number, row["values"])) for row in result["references"]]
    table(headings, lines)
    if written is not None:
        note(f"Report: {written}")


def _report(runs: tuple[str, ...], out: str) -> Any:
    from genloom import report

    return report.write_comparison(list(runs), out)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
