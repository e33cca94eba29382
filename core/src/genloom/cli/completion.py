"""`genloom completion SHELL`: print click's completion script, to be sourced by the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]


_HELP = """Print the TAB completion script of a shell.

\b
bash: genloom completion bash > ~/.local/share/bash-completion/completions/genloom
zsh:  genloom completion zsh > ~/.zfunc/_genloom
fish: genloom completion fish > ~/.config/fish/completions/genloom.fish
"""


@click.command(help=_HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the TAB completion script of a shell."""
    from genloom.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"This click has no completion for {shell}.")
    print(kind(cli, {}, "genloom", "_GENLOOM_COMPLETE").source())
