"""A flag that takes one value is given once: of two, click would take the last without a word."""

from __future__ import annotations

from collections.abc import Sequence

import click

__all__ = ["refuse_repeats"]


def refuse_repeats(command: click.Command, words: Sequence[str], parent: click.Context | None) -> None:
    """Refuse words of a command line that give a flag two values.

    Raises:
        UsageError: names the flag.
    """
    ctx = click.Context(command, parent=parent, info_name=command.name)
    try:
        _, rest, order = command.make_parser(ctx).parse_args(list(words))
    except click.UsageError:  # which click itself says in a moment
        return
    for parameter in order:
        if isinstance(parameter, click.Option) and _single(parameter) and order.count(parameter) > 1:
            raise click.UsageError(f"{max(parameter.opts, key=len)} is given twice and takes one value.", ctx)
    if isinstance(command, click.Group) and rest and rest[0] in command.commands:
        refuse_repeats(command.commands[rest[0]], rest[1:], ctx)


def _single(option: click.Option) -> bool:
    return not (option.multiple or option.is_flag or option.count)
