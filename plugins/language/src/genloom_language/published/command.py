"""`genloom adopt FOLDER` and `genloom publish RUN`: published weights into a run, and out of one."""

from __future__ import annotations

import json
from typing import Any

import click

from genloom.cli.flags import Whole
from genloom.messages import shown

__all__ = ["adopt", "publish"]

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_backend = click.option("--backend", metavar="ENGINE", help="Engine to run on: jax, torch or tensorflow.")


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path())
@click.option("--out", metavar="RUN", type=click.Path(), required=True, help="Where to write the run.")
@click.option(
    "--length",
    type=Whole(2, 1_000_000),
    help="Tokens of a window, context and one more; the longest by default.",
)
@_backend
@_json
def adopt(folder: str, out: str, length: int | None, backend: str | None, as_json: bool) -> None:
    """Make a run of the published weights in FOLDER: config.json, model.safetensors, tokenizer.json.

    GPT-2 and Llama can be read. The run is sampled, chatted with, and started from by --init-from.
    """
    from genloom_language.published.adopting import adopt as read

    run = read(folder, out, length)
    config = run.config
    stated = {"run": run.path, "length": config["data"]["spec"]["shape"][0], "options": config["model"]["options"]}
    _tell(run.path, stated, as_json)


@click.command()
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--out", metavar="FOLDER", type=click.Path(), required=True, help="Where to write the files.")
@_backend
@_json
def publish(run: str, out: str, backend: str | None, as_json: bool) -> None:
    """Write the weights of RUN as the library transformers reads them: config.json, model.safetensors, tokenizer.json.

    The format is that of GPT-2 for learned positions, and that of Llama for rotary ones.
    """
    from genloom_language.published.publishing import publish as write

    folder = write(run, out)
    _tell(folder, {"folder": folder, "files": sorted(file.name for file in folder.iterdir())}, as_json)


def _tell(path: Any, stated: dict[str, Any], as_json: bool) -> None:
    click.echo(json.dumps({"schema_version": 1, **stated}, indent=2, default=str) if as_json else shown(str(path)))
