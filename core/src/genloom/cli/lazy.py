"""A command whose module is imported only when it runs.

click's documented LazyGroup still imports every command for --help and TAB completion; this proxy holds the static
help line and imports in `make_context`, which click calls for the one command that is used.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from genloom.cli.repeats import refuse_repeats
from genloom.errors import PluginError

__all__ = ["LazyCommand"]


class LazyCommand(click.Command):
    """Stand for a click command until it is used.

    Args:
        name: name of the command.
        target: "module:attr" of the real command.
        summary: one line for the list of commands.
    """

    def __init__(self, name: str, target: str, summary: str) -> None:
        super().__init__(name, help=summary, short_help=summary)
        self.target = target

    def resolve(self) -> click.Command:
        """Import the real command.

        Raises:
            PluginError: the target cannot be imported or is not a click command.
        """
        module, _, attribute = self.target.partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PluginError(f"Command {self.name!r} cannot be loaded from {self.target!r}: {error}.") from error
        if not isinstance(command, click.Command):
            raise PluginError(f"Command {self.name!r}: {self.target!r} is not a click command.")
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Make the context of the real command, whose flags are each given once.

        Raises:
            UsageError: words that the command does not take.
        """
        command = self.resolve()
        if not extra.get("resilient_parsing"):  # completion looks at what is half written
            refuse_repeats(command, args, parent)
        return command.make_context(info_name, args, parent=parent, **extra)
