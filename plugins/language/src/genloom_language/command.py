"""`genloom chat RUN`: lines in, their continuation out, as it is drawn."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from genloom.cli.flags import Whole
from genloom.messages import shown

__all__ = ["chat"]


@click.command()
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("-n", "n", type=Whole(1, 1_000_000), default=200, show_default=True, help="Tokens of an answer, at most.")
@click.option("--set", "assignments", multiple=True, metavar="K=V", help="A sampling rule, such as temperature=0.8.")
@click.option("--stop", metavar="TEXT", help=r"End an answer where this begins; \n is a line's end.")
@click.option("--seed", type=Whole(0, 2**63 - 1), default=0, show_default=True, help="Seed of the answers.")
@click.option("--backend", metavar="ENGINE", help="Engine to run on: jax, torch or tensorflow.")
def chat(run: str, n: int, assignments: tuple[str, ...], stop: str | None, seed: int, backend: str | None) -> None:
    """Go on with every line of the standard input, in the words of RUN.

    A model of questions and answers (jsonl:) is asked by <|user|>QUESTION<|assistant|>, the form it was trained on.
    """
    import genloom
    from genloom.errors import ConfigError
    from genloom.options import configure, parse_assignments
    from genloom_language.choosing import Rules
    from genloom_language.ending import written
    from genloom_language.model import Transformer
    from genloom_language.streaming import Stream

    model = genloom.load(run)
    if not isinstance(model, Transformer) or model.tokenizer is None:
        raise ConfigError(f"{run!r} holds no language model with a tokenizer.", mend="Train language/transformer.")
    stream = Stream(model, configure(Rules, parse_assignments(assignments)), seed)
    for line in _lines():
        if not line:
            continue
        try:
            for piece in _until(stream(line, n), written(stop or "")):
                print(shown(piece), end="", flush=True)
            print()
        except ConfigError as error:
            if not sys.stdin.isatty():
                raise
            click.echo(shown(str(error)), err=True)  # one line that cannot be read does not end a conversation


def _lines() -> Iterator[str]:
    while True:
        if sys.stdin.isatty():
            click.echo("> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            return
        yield line.rstrip("\n")


def _until(pieces: Iterator[str], stop: str) -> Iterator[str]:
    """Yield pieces until `stop` begins, and nothing that may be the beginning of it."""
    if not stop:
        yield from pieces
        return
    held = ""
    for piece in pieces:
        held += piece
        if stop in held:
            yield held.partition(stop)[0]
            return
        safe = len(held) - next((k for k in range(len(stop) - 1, 0, -1) if held.endswith(stop[:k])), 0)
        yield held[:safe]
        held = held[safe:]
    yield held
