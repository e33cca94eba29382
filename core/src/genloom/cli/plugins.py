"""`genloom plugins …`: every plugin found, whether it works, and why not; works while plugins are broken."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import click

from genloom.cli import offers
from genloom.cli.flags import Number, json_flag
from genloom.cli.install import dry_run_flag, goes_ahead, installed_and_checked, yes_flag
from genloom.cli.output import note, print_json, say, table
from genloom.errors import NotFoundError, PluginError, nearest
from genloom.plugins.scaffold import KINDS

__all__ = ["plugins"]


@click.group()
def plugins() -> None:
    """List, check, freeze and write plugins."""


@plugins.command("list")
@json_flag
def list_plugins(as_json: bool) -> None:
    """List every plugin found: distribution, version, status, components."""
    from genloom.plugins.discovery import plugins as found

    if as_json:
        print_json(plugins=[status.summary() for status in found()])
        return
    table(
        ("plugin", "distribution", "version", "api", "status", "components", "ms", "cause"),
        [
            (s.name, s.distribution, s.version, s.api, s.status, len(s.components), round(1000 * s.seconds), s.cause)
            for s in found()
        ],
    )


@plugins.command("show")
@click.argument("name", shell_complete=offers.plugins)
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
            if value not in ("", []):
                say(f"{key}: {', '.join(value) if isinstance(value, list) else value}")


@plugins.command("check")
@click.argument("names", nargs=-1, metavar="[NAME]…", shell_complete=offers.plugins)
@click.option("--seconds", type=Number(0.1, 86_400), default=60.0, show_default=True, help="Limit for each.")
@json_flag
def check_plugins(names: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Load plugins and what they offer, each in a process of its own, and say what is wrong with them.

    All plugins without a NAME, those of files given with -p too. Exit code 3 when one is defective.
    """
    from genloom.plugins.checking import check, chosen

    found = [check(each, seconds) for each in chosen(names)]
    if as_json:
        print_json(plugins=found)
    else:
        rows = [(p["name"], p["distribution"], p["version"], p["status"], "; ".join(p["defects"])) for p in found]
        table(("plugin", "distribution", "version", "status", "defects"), rows)
    broken = [each["name"] for each in found if each["defects"]]
    if broken and as_json:
        click.get_current_context().exit(PluginError.exit_code)  # the document is printed already
    if broken:
        raise PluginError(f"Defective: {', '.join(broken)}.", mend="Remove one with: genloom uninstall NAME")


@plugins.command("freeze")
@json_flag
def freeze_plugins(as_json: bool) -> None:
    """Print the installed plugins as requirements, for `genloom plugins sync`."""
    from genloom.installing.installation import freeze

    lines = freeze()
    if as_json:
        print_json(requirements=lines)
        return
    for line in lines:
        say(line)


@plugins.command("sync")
@click.argument("file", type=click.File(encoding="utf-8"))
@yes_flag
@dry_run_flag
@json_flag
def sync_plugins(file: Iterable[str], yes: bool, dry_run: bool, as_json: bool) -> None:
    """Install and remove plugins until they are those of FILE, written by `genloom plugins freeze`.

    What came is checked; when it does not work, the environment becomes what it was.
    """
    from genloom.installing.installation import plan_sync

    plan = plan_sync(list(file))
    nothing = not (plan.wanted or plan.removed)
    if not goes_ahead(plan, "Go on?", yes or nothing, dry_run, as_json):
        return
    installed_and_checked(plan, yes)
    if as_json:
        print_json(installed=[each["requirement"] for each in plan.summary()["install"]], removed=list(plan.removed))


@plugins.command("new")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    default="model",
    show_default=True,
    help="What the plugin offers.",
)
@click.option("--out", type=click.Path(path_type=pathlib.Path), metavar="DIR", help="Where; genloom-NAME by default.")
@json_flag
def new_plugin(name: str, kind: str, out: pathlib.Path | None, as_json: bool) -> None:
    """Write the package of a new plugin NAME, which works and passes its own tests as it is."""
    from genloom.plugins.scaffold import write_package

    folder = write_package(name, kind, out)
    if as_json:
        print_json(folder=folder)
        return
    say(folder)
    note(f"Try it: genloom install ./{folder}" if not folder.is_absolute() else f"Try it: genloom install {folder}")
