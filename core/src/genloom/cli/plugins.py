"""`genloom plugins list|show`: every plugin found, whether it works, and why not; works while plugins are broken."""

from __future__ import annotations

import click

from genloom.cli.flags import json_flag
from genloom.cli.output import print_json, table
from genloom.errors import NotFoundError, nearest

__all__ = ["plugins"]


@click.group()
def plugins() -> None:
    """List the plugins and what is wrong with them."""


@plugins.command("list")
@json_flag
def list_plugins(as_json: bool) -> None:
    """List every plugin found: distribution, version, status, components."""
    from genloom.plugins.discovery import plugins as found

    if as_json:
        print_json(plugins=[status.summary() for status in found()])
        return
    table(
        ("plugin", "distribution", "version", "status", "components", "ms", "cause"),
        [
            (s.name, s.distribution, s.version, s.status, len(s.components), round(1000 * s.seconds), s.cause)
            for s in found()
        ],
    )


@plugins.command("show")
@click.argument("name")
@json_flag
def show_plugin(name: str, as_json: bool) -> None:
    """Show the plugin NAME (its own name or that of its distribution): components, hooks, what is wrong."""
    from genloom.plugins.discovery import plugins as found

    matching = [status for status in found() if name in (status.name, status.distribution)]
    if not matching:
        known = {word for status in found() for word in (status.name, status.distribution)}
        raise NotFoundError(f"There is no plugin {name!r}.{nearest(name, known)}", mend="See: genloom plugins list.")
    if as_json:
        print_json(plugins=[status.summary() for status in matching])
        return
    for status in matching:
        for key, value in status.summary().items():
            print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
