"""`genloom install` and `genloom uninstall`: show the plan, ask, let the environment's own installer do it, check."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from genloom.cli import offers
from genloom.cli.flags import json_flag
from genloom.cli.output import note, print_json
from genloom.errors import ConfigError, PluginError, RunError
from genloom.messages import tell

if TYPE_CHECKING:
    from genloom.installing.installation import Plan

__all__ = ["agreed", "dry_run_flag", "goes_ahead", "install", "installed_and_checked", "uninstall", "yes_flag"]

yes_flag = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
dry_run_flag = click.option("--dry-run", is_flag=True, help="Show the plan and do nothing.")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME|PATH|URL…")
@yes_flag
@dry_run_flag
@json_flag
def install(names: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    """Install plugins, check them, and take them out again when they do not work.

    A bare name such as vae is one of GenLoom's own; anything else is a distribution of the package index, a folder, an
    archive or an address. GenLoom, Keras and the engines keep their versions.
    """
    from genloom.installing.installation import plan_install

    plan = plan_install(names)
    if not goes_ahead(plan, "Install?", yes, dry_run, as_json):
        return
    found = installed_and_checked(plan, yes)
    if as_json:
        print_json(installed=found)
        return
    for each in found:
        offers = ", ".join(each["components"]) or "no components"
        note(f"Installed {each['distribution']} {each['version']}: {offers}")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=offers.plugins)
@yes_flag
@dry_run_flag
@json_flag
def uninstall(names: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    """Remove plugins, by their own names or those of their distributions."""
    from genloom.installing.installation import carry_out, plan_removal

    plan = plan_removal(names)
    if not goes_ahead(plan, "Remove?", yes, dry_run, as_json):
        return
    carry_out(plan, note)
    if as_json:
        print_json(removed=list(plan.removed))


def goes_ahead(plan: Plan, question: str, yes: bool, dry_run: bool, as_json: bool) -> bool:
    """Show a plan and return whether to carry it out.

    Raises:
        ConfigError: nobody can be asked.
        click.Abort: the person does not agree.
    """
    if dry_run and as_json:
        print_json(plan=plan.summary())
    elif not as_json:
        _show(plan, print if dry_run else note)
    if not dry_run and not yes and not agreed(question):
        raise click.Abort
    return not dry_run


def _show(plan: Plan, say: Callable[[str], None]) -> None:
    say(f"Environment: {plan.environment.kind}, {plan.environment.prefix}")
    for each in plan.wanted:
        say(f"Install {each.text} from {each.source}")
    for name in plan.removed:
        say(f"Remove {name}")
    if plan.constraints:
        say(f"Unchanged: {', '.join(plan.constraints)}")
    for command in plan.summary()["commands"]:
        say(f"By: {' '.join(command)}")


def agreed(question: str) -> bool:
    """Ask a person.

    Raises:
        ConfigError: nobody can be asked.
    """
    if not sys.stdin.isatty():
        raise ConfigError("There is no terminal to ask on.", mend="Give --yes, or --dry-run to see the plan.")
    return click.confirm(question, err=True)


def installed_and_checked(plan: Plan, yes: bool) -> list[dict[str, Any]]:
    """Carry a plan out, check what it brought, and return what the check found of each plugin.

    Raises:
        PluginError: what came does not work; it was taken out, or left when the person wished so.
        RunError: the installer failed, or nothing of what came is a plugin.
    """
    from genloom.installing.installation import carry_out, installed, undo
    from genloom.installing.resolution import normal
    from genloom.plugins.checking import check
    from genloom.plugins.entry_points import declared

    before, known = installed(), {each.distribution for each in declared("genloom")}
    try:
        brought = carry_out(plan, note)
    except RunError:
        if installed() != before:
            undo(plan, before, note)
        raise
    new = [each for each in declared("genloom") if each.distribution not in known]
    found = [check(each) for each in {each.distribution: each for each in (*brought, *new)}.values()]
    faults = [f"{each['distribution']} {each['version']}: {line}" for each in found for line in each["defects"]]
    # Only where every name is known can it be said which of them brought no plugin.
    names = {normal(each["distribution"]) for each in found}
    faults += [f"{each.text} is not a GenLoom plugin" for each in plan.wanted if each.name and each.name not in names]
    if plan.wanted and not found and not faults:
        faults = ["it contains no GenLoom plugin"]
    if not faults:
        return found
    for line in faults:
        tell(line)
    changed = installed() != before
    if changed and (yes or agreed("It does not work. Uninstall it?")):
        undo(plan, before, note)
        raise PluginError(f"{faults[0]}.", mend="It was uninstalled; the environment is as it was.")
    raise PluginError(f"{faults[0]}.", mend="Remove it with: genloom uninstall NAME")
