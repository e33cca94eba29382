"""`genloom prompt RUN --task FILE`: a task asked after none or some examples."""

from __future__ import annotations

from typing import Any

import click

from genloom import engine
from genloom.cli.flags import Whole, backend, json_flag, run_argument
from genloom.cli.output import note, print_json, table

__all__ = ["prompt"]


@click.command()
@run_argument
@click.option(
    "--task", "address", required=True, metavar="FILE", help="A task file, or a built-in task: cipher, speaker."
)
@click.option("-k", "numbers", type=Whole(0, 1_000_000), multiple=True, help="Examples before a question.")
@click.option("--seed", type=Whole(0, 2**63 - 1), help="Seed of the examples.")
@click.option("--limit", type=Whole(1, 1_000_000), help="Ask only so many items, drawn once for all models.")
@backend
@json_flag
def prompt(
    run: str,
    address: str,
    numbers: tuple[int, ...],
    seed: int | None,
    limit: int | None,
    backend: str | None,
    as_json: bool,
) -> None:
    """Ask RUN the questions of a task, and keep the results in RUN/prompting.json.

    -k may be given several times; each is a row, beside what chance scores.
    """
    from genloom.runs import open_run
    from genloom_language.prompting.reading import load_task

    opened, task = open_run(run), load_task(address)
    engine.choose(backend)
    from genloom_language.prompting.harness import prompt as ask

    result = ask(opened, task, list(numbers) or None, seed, limit)
    for k, cut in {entry["k"]: entry["cut"] for entry in result["results"]}.items():
        if cut:
            note(f"{cut} of {result['n']} contexts of {k} examples were too long and lost their beginning.")
    if as_json:
        print_json(**result)
        return
    _print(result)


def _print(result: dict[str, Any]) -> None:
    """Print one row per k: each measure with its standard error, and chance where it has a score."""
    rows: dict[int, dict[str, str]] = {}
    for entry in result["results"]:
        row = rows.setdefault(entry["k"], {"k": str(entry["k"]), "n": str(entry["n"])})
        row[entry["measure"]] = f"{entry['value']:.4g}" + (
            "" if entry["stderr"] is None else f" ± {entry['stderr']:.2g}"
        )
        if entry["floor"] is not None:
            row[f"chance of {entry['measure']}"] = f"{entry['floor']:.4g}"
    headings = list(next(iter(rows.values())))
    table(headings, [[row[heading] for heading in headings] for row in rows.values()], title=result["task"], split=True)
