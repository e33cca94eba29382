"""`genloom list` and `genloom show`: what plugins offer, without importing any of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from genloom.cli import offers
from genloom.cli.flags import json_flag
from genloom.cli.output import note, on_terminal, print_json, say, table
from genloom.errors import NotFoundError, nearest
from genloom.messages import tell
from genloom.options import describe, spelled
from genloom.plugins.offers import COMPONENT_KINDS

if TYPE_CHECKING:
    from genloom.plugins.offers import Component

__all__ = ["list_command", "show"]

#: Word on the command line -> kind of component.
KINDS = {plural: kind for kind, plural in COMPONENT_KINDS.items()}


@click.command("list")
@click.argument("kind", type=click.Choice(list(KINDS)), required=False)
@json_flag
def list_command(kind: str | None, as_json: bool) -> None:
    """List models, data sets, metrics and all else that plugins offer, or one kind of them."""
    from genloom.plugins.registry import clashes, components

    found = components(KINDS[kind] if kind else None)
    if as_json:
        print_json(components=[_summary(component) for component in found], clashes=clashes())
        return
    if on_terminal():
        _print_by_kind(found)
    else:
        rows = [(each.kind, each.id, " ".join(each.presets), each.summary) for each in found]
        table(("kind", "id", "presets", "summary"), rows)
    for line in clashes():
        tell(line)


def _print_by_kind(found: Sequence[Component]) -> None:
    """Print a table of each kind: presets are told by `show`, for their names leave no room here."""
    for number, (title, kind) in enumerate(KINDS.items()):
        rows = [(each.id, each.summary) for each in found if each.kind == kind]
        if rows:
            print(end="\n" if number else "")
            table((title, "summary"), rows)
    note("Options and presets of one: genloom show ID")


@click.command()
@click.argument("id", shell_complete=offers.ids)
@json_flag
def show(id: str, as_json: bool) -> None:
    """Show the component ID: where it comes from, its options and its presets."""
    found = _find_any(id)
    for number, component in enumerate(found):
        options = [] if component.options is None else describe(component.options)
        if as_json and len(found) == 1:
            print_json(**_details(component, options))
        elif not as_json:
            _print(component, options, blank=number > 0)
    if as_json and len(found) > 1:
        rows = [_details(each, [] if each.options is None else describe(each.options)) for each in found]
        print_json(components=rows)


def _find_any(id: str) -> list[Component]:
    """Return the component of each kind with this id; usually there is one."""
    from genloom.plugins.registry import components, find, hint

    found = []
    for kind in KINDS.values():
        try:
            found.append(find(kind, id))
        except NotFoundError:
            continue
    if not found:
        known = components()
        near = nearest(id, [each.id for each in known]) or nearest(id, [each.name for each in known])
        raise NotFoundError(f"There is no component {id!r}.{near}", mend=hint(id) or "See: genloom list.")
    return found


def _summary(component: Component) -> dict[str, Any]:
    from genloom.plugins.registry import owner

    status = owner(component)
    return {
        "kind": component.kind,
        "id": component.id,
        "summary": component.summary,
        "presets": list(component.presets),
        "accepts": list(component.accepts),
        "distribution": status.distribution,
        "version": status.version,
    }


def _details(component: Component, options: list[dict[str, Any]]) -> dict[str, Any]:
    presets = {name: dict(preset.options) for name, preset in component.presets.items()}
    return {**_summary(component), "options": options, "presets": presets}


def _print(component: Component, options: list[dict[str, Any]], blank: bool) -> None:
    summary = _summary(component)
    lines = [
        f"{component.id} ({component.kind})",
        component.summary,
        f"from {summary['distribution']} {summary['version']}".rstrip(),
    ]
    if component.accepts:
        lines.append(f"takes {', '.join(component.accepts)}")
    say("\n".join([*([""] if blank else []), *lines]))
    if options:
        say()
        table(("option", "type", "default", "meaning"), [_option_cells(row) for row in options])
    if component.presets:
        say()
        table(("preset", "options"), [(name, _assignments(each.options)) for name, each in component.presets.items()])


def _option_cells(row: dict[str, Any]) -> tuple[Any, ...]:
    limits = []
    if row["choices"]:
        limits.append("one of " + ", ".join(map(str, row["choices"])))
    limits += [f"{word} {row[key]}" for key, word in (("minimum", "≥"), ("maximum", "≤")) if row[key] is not None]
    meaning = row["help"] + (f" ({'; '.join(limits)})" if limits else "")
    return row["name"], row["type"], spelled(row["default"]), meaning


def _assignments(values: Any) -> str:
    return " ".join(f"{name}={spelled(value)}" for name, value in values.items())
