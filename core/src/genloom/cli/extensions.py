"""Commands that plugins add to the command line, as lazy as GenLoom's own."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import click

from genloom import engine
from genloom.cli.flags import asked_backend
from genloom.cli.lazy import LazyCommand
from genloom.plugins.discovery import report
from genloom.plugins.hooks import notify
from genloom.plugins.status import PluginStatus

__all__ = ["plugin_commands"]


class PluginCommand(LazyCommand):
    """A plugin's command, which may import Keras: the engine is chosen before, by its --backend or as always."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Make the context of the real command."""
        wanted = asked_backend(args)
        if wanted is not None:
            engine.select(wanted)  # for its error: without a flag the command may do without an engine
        engine.prepare(wanted)
        return super().make_context(info_name, args, parent, **extra)


def plugin_commands(taken: Mapping[str, Any]) -> dict[str, click.Command]:
    """Return the commands of all plugins; a name in `taken` or claimed twice is reported and left out."""
    return _collect(tuple(taken))


@functools.cache
def _collect(taken: tuple[str, ...]) -> dict[str, click.Command]:
    commands: dict[str, click.Command] = {}
    for status, offered in notify("genloom_commands"):
        try:
            _add(commands, taken, status, offered)
        except (AttributeError, TypeError, ValueError) as error:
            report(dataclasses.replace(status, cause=f"genloom_commands returned {offered!r}: {error}"))
    return commands


def _add(commands: dict[str, click.Command], taken: tuple[str, ...], status: PluginStatus, offered: Any) -> None:
    for name, (target, summary) in offered.items():
        if name in taken or name in commands:
            report(dataclasses.replace(status, cause=f"its command {name!r} exists already"))
            continue
        commands[name] = PluginCommand(name, target, summary)
