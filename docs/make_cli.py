"""Write docs/cli.md from the command line itself: `python docs/make_cli.py`; a test compares the two."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import click

from genloom.cli.commands import COMMANDS
from genloom.plugins.first_party import FIRST_PARTY
from genloom.plugins.offers import Component

PAGE = Path(__file__).with_name("cli.md")
HEAD = """# The command line

Made by `python docs/make_cli.py`. Data go to stdout, progress and logs to stderr; `--json` prints one document with
a schema version, errors included. A value comes from the flag, then the environment (`GENLOOM_…`), then `--config`,
the preset and the default.

Exit codes: 0 done · 1 the run failed · 2 usage or configuration · 3 a plugin is defective or incompatible ·
4 component or plugin absent · 130 interrupted · 143 terminated.

Engine: `--backend`, then `KERAS_BACKEND`, then `keras.json` if that one is installed, then the first installed of jax,
torch, tensorflow. A `keras.json` that Keras wrote by itself does not count ([engines](engines.md)).
Before the command: `-p FILE.py` loads a plugin from a file, `--traceback` shows an error's traceback, `--version`
prints the version.
Plugins: `GENLOOM_NO_PLUGINS=1`, `GENLOOM_DISABLE_PLUGINS=a,b`, `GENLOOM_STRICT_PLUGINS=1`.
"""


def commands() -> dict[str, tuple[str, str]]:
    """Return "module:attr" of every command and what brings it: GenLoom's own, then those of its plugins."""
    found = {name: (target, "") for name, (target, _) in COMMANDS.items()}
    for plugin, distribution in FIRST_PARTY.items():
        hook = vars(importlib.import_module(distribution.replace("-", "_"))).get("genloom_commands", dict)
        found |= {name: (target, plugin) for name, (target, _) in sorted(hook().items())}
    return found


def loaded(name: str, target: str) -> click.Command:
    """Return a command."""
    command: click.Command = Component("model", name, target, name).load()
    return command


def section(name: str, found: click.Command) -> Iterator[str]:
    """Yield a command's lines, then those of its subcommands."""
    arguments = "".join(
        f" {p.make_metavar(click.Context(found))}" for p in found.params if isinstance(p, click.Argument)
    )
    lines = [line.strip() for line in (found.help or "").strip().splitlines()]
    yield f"\n## genloom {name}{arguments}\n\n" + "\n".join(lines) + "\n"
    options = [p for p in found.params if isinstance(p, click.Option)]
    if options:
        yield ""
    for option in options:
        yield f"- `{'`, `'.join(option.opts)}`: {option.help}"
    for inner, child in getattr(found, "commands", {}).items():
        yield from section(f"{name} {inner}", child)


def page() -> str:
    """Return the whole page."""
    lines: list[str] = []
    for name, (target, plugin) in commands().items():
        first, *rest = section(name, loaded(name, target))
        of = f"\nOf the plugin {plugin}: `genloom install {plugin}`.\n" if plugin else ""
        lines += [first + of, *rest]
    return HEAD + "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
