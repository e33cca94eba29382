"""`genloom data check`: what is in a data set and what is wrong with it, before training."""

from __future__ import annotations

from typing import Any

import click

from genloom.cli import offers
from genloom.cli.flags import json_flag
from genloom.cli.output import print_json, say, table
from genloom.messages import tell

__all__ = ["data"]

_APART = ("class_names", "class_frequencies", "mean", "scale")  # said in a table or a sentence of their own


@click.group()
def data() -> None:
    """Look at data before training on it."""


@data.command()
@click.argument("source", metavar="SRC", shell_complete=offers.data)
@click.option("--out", metavar="FILE.png", type=click.Path(), help="Write a grid of training pictures.")
@json_flag
def check(source: str, out: str | None, as_json: bool) -> None:
    """Read all of SRC and say what is in it, how it is split, and what looks wrong."""
    from genloom.data.check import check as inspect

    found = inspect(source, out)
    if as_json:
        print_json(**found)
        return
    say(f"{found['address']} (fingerprint {found['fingerprint']})")
    say("; ".join(f"{name} {_word(value)}" for name, value in found["spec"].items() if name not in _APART))
    say(found["treatment"])
    names = [name for name, value in found["train"].items() if name != "classes" and value is not None]
    table(
        ("split", *names),
        [(part, *(_word(found[part].get(name)) for name in names)) for part in ("train", "test")],
        split=True,
    )
    _print_classes(found)
    for line in found["notes"]:
        say(f"Note: {line}")
    for line in found["warnings"]:
        tell(line)
    if out is not None:
        say(found["out"])


def _print_classes(found: dict[str, Any]) -> None:
    from genloom.data.check import MANY_CLASSES

    train, test = (found[part].get("classes") or {} for part in ("train", "test"))
    rows = [(name, count, test.get(name, 0)) for name, count in train.items()]
    shown = [row for row in rows if row[1] or row[2]] if len(rows) > MANY_CLASSES else rows
    if shown:
        say()
        table(("class", "train", "test"), shown)
    if len(shown) < len(rows):
        say(f"{len(rows) - len(shown)} of {len(rows)} classes have no samples.")


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(_word, value)) if isinstance(value, (list, tuple)) else str(value)
