"""The `genloom` command: global options, lazily loaded commands, and one way out for every error."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from genloom import engine
from genloom.cli.commands import COMMANDS
from genloom.cli.failures import guarded
from genloom.cli.lazy import LazyCommand
from genloom.errors import ConfigError, nearest

__all__ = ["cli", "main"]

_ARGUMENTS = "genloom.arguments"


class GenloomGroup(click.Group):
    """The top group: GenLoom's commands, then those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, GenLoom's own first."""
        return [*self.commands, *sorted(_plugin_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name; plugins are looked for only when it is not GenLoom's own."""
        return self.commands.get(cmd_name) or _plugin_commands().get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command to run, or say which one may have been meant."""
        name = click.utils.make_str(args[0])
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            _refuse(name, ctx, self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the raw arguments, in which `_load_files` looks for --backend."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def _refuse(name: str, ctx: click.Context, known: list[str]) -> NoReturn:
    """Raise for an unknown command: which plugin of GenLoom's own brings it, or which one may have been meant."""
    from genloom.plugins.first_party import THEIR_COMMANDS

    if plugin := THEIR_COMMANDS.get(name):
        told = f"It comes with the plugin {plugin}: genloom install {plugin}"
        raise ConfigError(f"No such command {name!r}.", mend=told)
    ctx.fail(f"No such command {name!r}.{nearest(name, known)}")


def _plugin_commands() -> dict[str, click.Command]:
    from genloom.cli.extensions import plugin_commands

    return plugin_commands(taken=COMMANDS)


def _load_files(ctx: click.Context, _: click.Parameter, files: tuple[str, ...]) -> tuple[str, ...]:
    """Load -p files. A file may import Keras, which fixes the backend: so the engine is chosen before."""
    if files and not ctx.resilient_parsing:
        from genloom.cli.flags import asked_backend
        from genloom.plugins.discovery import load_file

        engine.prepare(asked_backend(ctx.meta.get(_ARGUMENTS, ())))
        for file in files:
            with engine.without_notes():
                load_file(file)
    return files


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from genloom.version import version

        click.echo(f"genloom {version()}")
        ctx.exit()


@click.group(
    cls=GenloomGroup,
    commands={name: LazyCommand(name, *entry) for name, entry in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option(
    "-p",
    "files",
    multiple=True,
    metavar="FILE.py",
    is_eager=True,
    expose_value=False,
    callback=_load_files,
    help="Load a plugin from a file (repeatable).",
)
@click.option("--traceback", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def cli(**_: Any) -> None:
    """Train, sample, measure and ship generative models on JAX, PyTorch or TensorFlow."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Args:
        arguments: words after the program's name, those of the process by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as the process
    sys.exit(guarded(lambda: cli.main(words, prog_name="genloom", standalone_mode=False), words))
