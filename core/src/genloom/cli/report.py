"""`genloom report`: one self-contained HTML file from a run directory; imports no Keras."""

from __future__ import annotations

import click

from genloom.cli.flags import json_flag, run_argument
from genloom.cli.output import print_json, say

__all__ = ["report"]


@click.command()
@run_argument
@json_flag
def report(run: str, as_json: bool) -> None:
    """Write RUN/report.html: configuration, losses, samples and scores in one file."""
    from genloom.report import write
    from genloom.runs import open_run

    path = write(open_run(run, head=False))
    if as_json:
        print_json(run=run, out=path)
    else:
        say(path)
