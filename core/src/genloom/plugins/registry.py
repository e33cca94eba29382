"""Look components up by kind and id; one page says what a short name, a clash and an absent id mean."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from genloom.arguments import instance
from genloom.errors import ConfigError, NotFoundError, PluginError, listed, nearest
from genloom.options import parse_assignments
from genloom.plugins.discovery import plugins
from genloom.plugins.first_party import FIRST_PARTY, THEIR_KINDS
from genloom.plugins.offers import COMPONENT_KINDS, Component
from genloom.plugins.status import FILE, PluginStatus

__all__ = ["call", "chosen", "clashes", "components", "find", "hint", "named", "of_run", "owner", "required"]


def components(kind: str | None = None) -> list[Component]:
    """Return every component of a kind (all kinds for None), in the order the plugins were found."""
    return [component for _, component in _owned(kind)]


def find(kind: str, id: str) -> Component:
    """Return the component with an id (`vae/conv`) or with a short name (`conv`) while that is unique.

    Raises:
        NotFoundError: nothing has that id; names the nearest one.
        ConfigError: the short name is ambiguous; names the ids. What was given is no name.
        PluginError: two plugins claim the id; names both.
    """
    instance(f"The id of a {kind}", id, str, "a text", mend=f"See: genloom list {COMPONENT_KINDS[kind]}.")
    _refuse_clash(kind, id)
    named = [component for component in components(kind) if component.id == id]
    named = named or [component for component in components(kind) if component.name == id]
    if not named:
        raise _absent(kind, id)
    if len(named) > 1:
        ids = sorted({component.id for component in named})
        if len(ids) == 1:
            _refuse_clash(kind, ids[0])
        raise ConfigError(f"The {kind} {id!r} is ambiguous.", mend=f"Use one of {', '.join(ids)}.")
    return named[0]


def chosen(kind: str, text: str) -> tuple[Component, Any]:
    """Read a component's name with its options after a colon, `lora:rank=4`; return it and its checked options.

    Raises:
        NotFoundError: nothing has that name; names the nearest one.
        ConfigError: an unknown option (with the nearest name), or a value of the wrong type or range.
    """
    name, _, rest = text.partition(":")
    component = find(kind, name.strip())
    return component, component.configure(**parse_assignments(item for item in rest.split(",") if item.strip()))


def owner(component: Component) -> PluginStatus:
    """Return the plugin that offers a component.

    Raises:
        NotFoundError: no loaded plugin offers it.
    """
    for status, other in _owned(component.kind):
        if other is component:
            return status
    raise NotFoundError(f"No plugin offers {component.id!r}.")


def named(component: Component) -> str:
    """Return what errors call a component: its plugin, where one offers it, and its id."""
    for status, other in _owned(component.kind):
        if other is component:
            return f"{status.title}: {component.id}"
    return component.id


def call(component: Component, form: str, *values: Any, **named_values: Any) -> Any:
    """Call what a component names, and return what that gives.

    Args:
        component: a class or a function.
        form: what its kind is called with, for the message, such as "(options)".
        *values: what it is called with.
        **named_values: likewise.

    Raises:
        PluginError: it cannot be called so.
    """
    target = component.load()
    try:
        with contextlib.suppress(ValueError):  # a function without a signature, such as NumPy's own
            inspect.signature(target).bind(*values, **named_values)
    except TypeError as error:
        raise PluginError(f"{named(component)} does not take {form}: {error}.", mend="Let it take them.") from None
    return target(*values, **named_values)


def hint(id: str) -> str | None:
    """Return how to install the absent plugin of GenLoom's own that an id is of, language/transformer or language."""
    name = id.partition("/")[0]
    missing = name in FIRST_PARTY and name not in {status.name for status in plugins()}
    return f"It comes with the plugin {name}: genloom install {name}" if missing else None


def _brought(kind: str) -> str | None:
    """Return how to install the plugin of GenLoom's own that brings a kind of component, where it is missing."""
    plugin = THEIR_KINDS.get(kind)
    if plugin is None or plugin in {status.name for status in plugins()}:
        return None
    return f"The plugin {plugin} brings {COMPONENT_KINDS[kind]}: genloom install {plugin}"


def required(kind: str, id: str, source: str | None) -> Component:
    """Return a component that a run was made with, as `find` does.

    Args:
        kind: of component.
        id: its whole id.
        source: `PluginStatus.source` of its plugin then, where that is known.

    Raises:
        NotFoundError: it is absent; says which plugin brings it.
    """
    try:
        return find(kind, id)
    except NotFoundError as error:
        if source is None:
            raise
        raise NotFoundError(
            f"The {kind} {id!r} of this run is of the plugin {source}, which is not here.", mend=_way_back(source)
        ) from error


@contextlib.contextmanager
def of_run(config: Mapping[str, Any]) -> Iterator[None]:
    """Look up what a run was made with: where a component is absent, say which of the run's plugins are not here.

    Args:
        config: what its run.toml holds, {} of no run.

    Raises:
        NotFoundError: as inside, with the way back.
    """
    try:
        yield
    except NotFoundError as error:
        gone = _gone(config)
        if not gone or any(source in error.message for source in gone):
            raise
        are = "is" if len(gone) == 1 else "are"
        told = f"{error.message} This run was trained with {listed(gone)}, which {are} not here."
        raise NotFoundError(told, mend=_way_back(*gone)) from error


def _gone(config: Mapping[str, Any]) -> list[str]:
    """Return `PluginStatus.source` of the plugins that a run was trained with and that are not loaded."""
    versions = config.get("versions")
    stated = versions.get("plugins") if isinstance(versions, Mapping) else None
    loaded = {status.distribution for status in plugins() if status.status == "ok"}
    trained = stated if isinstance(stated, Mapping) else {}
    return [f"{name} {version}".rstrip() for name, version in trained.items() if name not in loaded]


def _way_back(*sources: str) -> str:
    """Return how plugins are brought back: files by name, distributions by their versions."""
    files = [source for source in sources if source.endswith(FILE)]
    wanted = [_requirement(source) for source in sources if source not in files]
    named_again = f"Name it again before the command: genloom {' '.join(f'-p {file}' for file in files)} …"
    ways = [named_again] if files else []
    return ". ".join([*ways, *([f"Install it: genloom install {' '.join(wanted)}"] if wanted else [])])


def _requirement(source: str) -> str:
    distribution, _, version = source.rpartition(" ")
    return next((name for name, own in FIRST_PARTY.items() if own == distribution), f"{distribution}=={version}")


def clashes() -> list[str]:
    """Return one line per id that two plugins claim, naming both."""
    lines = []
    for kind, id in sorted({(component.kind, component.id) for component in components()}):
        try:
            _refuse_clash(kind, id)
        except PluginError as error:
            lines.append(str(error))
    return lines


def _owned(kind: str | None = None) -> list[tuple[PluginStatus, Component]]:
    return [
        (status, component) for status in plugins() for component in status.components if kind in (None, component.kind)
    ]


def _refuse_clash(kind: str, id: str) -> None:
    claims = [status.distribution for status, component in _owned(kind) if component.id == id]
    if len(claims) > 1:
        raise PluginError(
            f"The {kind} id {id!r} is claimed by {' and by '.join(claims)}.",
            mend=f"Skip one with GENLOOM_DISABLE_PLUGINS={claims[-1]}, or remove it: genloom uninstall {claims[-1]}",
        )


def _absent(kind: str, id: str) -> NotFoundError:
    known = components(kind)
    family = [component.id for component in known if component.id.startswith(f"{id}/")]
    near = f" {id} offers {listed(family)}." if family else ""
    near = near or nearest(id, [each.id for each in known]) or nearest(id, [each.name for each in known])
    broken = [status.name for status in plugins() if status.status != "ok"]
    mend = hint(id) or _brought(kind) or f"See: genloom list {COMPONENT_KINDS[kind]}."
    if broken:
        mend += f" Plugins not in use: {', '.join(broken)} (see: genloom plugins list)."
    return NotFoundError(f"There is no {kind} {id!r}.{near}", mend=mend)
