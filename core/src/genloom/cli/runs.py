"""`genloom runs`: one row per run in a folder, and what of their checkpoints may go; imports no Keras."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from genloom.cli import offers
from genloom.cli.flags import Whole, json_flag
from genloom.cli.install import agreed, dry_run_flag, yes_flag
from genloom.cli.output import note, on_terminal, print_json, table
from genloom.errors import GenLoomError

if TYPE_CHECKING:
    from genloom.runs import Run
    from genloom.runs.retention import Retention

__all__ = ["runs"]

_directory = click.argument(
    "directory", metavar="[DIR]", type=click.Path(), default="runs", required=False, shell_complete=offers.runs
)


class _ListByDefault(click.Group):
    """A group whose first word may be left out: `genloom runs DIR` is `genloom runs list DIR`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put "list" before what names no subcommand; a folder called prune is ./prune."""
        named = args[:1] and (args[0] in self.commands or args[0] in ctx.help_option_names)
        completing = not args and ctx.resilient_parsing
        return super().parse_args(ctx, args if named or completing else ["list", *args])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return subcommands and the folders that may stand in their place, or flags of `list`."""
        if incomplete.startswith("-"):
            return self.commands["list"].shell_complete(ctx, incomplete)
        return [*super().shell_complete(ctx, incomplete), *offers.folders(incomplete)]


@click.group(cls=_ListByDefault)
def runs() -> None:
    """List the runs in a folder, or prune their checkpoints.

    `genloom runs [DIR]` lists, as `genloom runs list [DIR]` does.
    """


@runs.command("list")
@_directory
@json_flag
def list_command(directory: str, as_json: bool) -> None:
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
            note(f"{row['path']}: its settings changed during training, {row['history']}.")
        if row["outdated"]:
            note(
                f"{row['path']}: its scores are of step {row['scored']}. Measure again: genloom evaluate {row['path']}"
            )


@runs.command("prune")
@_directory
@click.option("--keep", type=Whole(min=2), metavar="K", help="Newest checkpoints kept; as trained by default.")
@click.option("--best", metavar="METRIC", help="Number whose best is kept too; as trained, else val_loss, by default.")
@click.option("--best-mode", type=click.Choice(("min", "max")), help="Which number is best; as trained by default.")
@yes_flag
@dry_run_flag
@json_flag
def prune(
    directory: str, keep: int | None, best: str | None, best_mode: str | None, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Delete old checkpoints of the run DIR, or of the runs in DIR (default: runs) and the folders below it.

    The newest K that can be read to their last byte stay, what is newer than they, and the best one. A run that is
    being written is left alone; another process may read meanwhile.
    """
    from genloom.runs import retention
    from genloom.runs.listing import runs_below

    found = [_planned(run, keep, best, best_mode) for run in runs_below(directory)]
    if not as_json:
        _show(found, directory)
    if not dry_run and any(each.removed for each in found):
        if not yes and not agreed("Delete?"):
            raise click.Abort
        found = [retention.carry_out(each) for each in found]
    if as_json:
        print_json(dry_run=dry_run, runs=[_summary(each) for each in found])


def _planned(run: Run, keep: int | None, best: str | None, best_mode: str | None) -> Retention:
    """Plan for one run; one that cannot be read is left alone and does not keep the others from being pruned."""
    from genloom.runs import retention

    try:
        return retention.plan(run, keep, best, best_mode)
    except GenLoomError as error:
        return retention.Retention(run, why=error.message.rstrip("."))


def _show(found: list[Retention], directory: str) -> None:
    headings = ("run", "kept", "removed", "MB", "")
    rows = [(str(e.run.path), len(e.kept), len(e.removed), round(e.bytes / 1e6, 1), e.why) for e in found]
    table(headings, rows)
    if not any(each.removed for each in found):
        note(f"There is nothing to delete in {directory}.")


def _summary(each: Retention) -> dict[str, Any]:
    paths = {"kept": [str(folder) for folder in each.kept], "removed": [str(folder) for folder in each.removed]}
    return {"path": str(each.run.path), **paths, "bytes": each.bytes, "why": each.why}


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
