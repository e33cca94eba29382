"""Find plugins through entry points and keep a broken one from breaking the rest.

Entry points are loaded by hand: pluggy's own loader has no try/except, and skips the second of two plugins with one
name in silence. Every defect becomes one warning and a `PluginStatus`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import inspect
import os
import pathlib
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pluggy

from genloom import hookspecs
from genloom.errors import NotFoundError, PluginError, nearest
from genloom.messages import tell
from genloom.plugins.blame import last, line, package
from genloom.plugins.entry_points import Declared, declared
from genloom.plugins.offers import Component
from genloom.plugins.status import FILE, PluginStatus

__all__ = [
    "HEAVY",
    "culprit",
    "files",
    "implementers",
    "load_file",
    "load_module",
    "manager",
    "plugins",
    "report",
    "whose",
]

#: Modules that a plugin must not import at load time: they are slow, and they fix the backend before it is chosen.
HEAVY = ("keras", "jax", "torch", "tensorflow")

_CORE = "genloom"  # the distribution whose components are GenLoom's own


def plugins() -> list[PluginStatus]:
    """Return the state of every plugin found, GenLoom's own components first; the first call loads them."""
    _loaded().collect()
    return list(_loaded().statuses)


def implementers(hook: str) -> list[PluginStatus]:
    """Return the plugins that implement a hook, without asking any for its components: `--help` needs them quickly."""
    return [status for status in _loaded().statuses if hook in status.hooks]


def manager() -> pluggy.PluginManager:
    """Return the plugin manager with every working plugin registered.

    To call a hook so that one raising plugin does not abort the rest, use `genloom.plugins.hooks.notify`.
    """
    return _loaded().manager


def culprit(error: BaseException) -> tuple[PluginStatus, str] | None:
    """Return the plugin that an error comes from, the innermost whose code it went through, and the line; else None."""
    found = last(error, [own for status in _found() for own in status.packages])
    status = None if found is None else _offering(found[0])
    return None if found is None or status is None else (status, found[1])


def whose(code: Any) -> str:
    """Return what errors begin with where a class or function is a plugin's: its plugin and component; "" of others."""
    module = inspect.getmodule(code)
    status = None if module is None else _offering(package(module.__name__))
    if status is None:
        return ""
    offered = [each.id for each in status.components if each.target.endswith(f":{code.__qualname__}")]
    return ": ".join([status.title, *offered[:1], ""])


def _found() -> list[PluginStatus]:
    """Return the plugins that are loaded by now; loads none."""
    return _loaded().statuses if _loaded.cache_info().currsize else []


def _offering(name: str) -> PluginStatus | None:
    """Return the plugin of a top package: whose hooks are in it, else who names components of it."""
    owners = [status for status in _found() if name in status.packages]
    own = (status for status in owners if status.home == name)
    return next(own, next(iter(owners), None))


def load_file(path: str | os.PathLike[str]) -> PluginStatus:
    """Load a plugin from one file, without packaging (-p FILE.py); it may import Keras.

    Raises:
        NotFoundError: there is no such file.
        PluginError: the file raises, exits, or its hooks do not fit.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise NotFoundError(f"There is no plugin file {str(path)!r}.", mend="Check the path after -p.")
    return _loaded().add_file(file)


def files() -> list[PluginStatus]:
    """Return the plugins that were loaded from files; loads none."""
    return [status for status in _found() if status.distribution.endswith(FILE)]


def load_module(name: str) -> PluginStatus:
    """Load a plugin by its module of hooks, where no installed plugin has it: so a package is tested before.

    Raises:
        PluginError: the module cannot be imported, raises, or its hooks do not fit.
    """
    return _loaded().add_module(name)


def report(status: PluginStatus) -> None:
    """Warn of a plugin's defect in one line; silent during TAB completion, which shares the terminal.

    Raises:
        PluginError: instead, when GENLOOM_STRICT_PLUGINS=1.
    """
    if _switched_on("GENLOOM_STRICT_PLUGINS"):
        raise PluginError(status.defect())
    if "_GENLOOM_COMPLETE" not in os.environ:
        tell(status.defect())


class _Plugins:
    """The plugins of this process: a pluggy manager and the state of each, in the order found."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.statuses: list[PluginStatus] = []
        self._collected: set[str] = set()

    def add_entry_points(self, found: Iterable[Declared]) -> None:
        """Load plugins; those named in GENLOOM_DISABLE_PLUGINS are noted alone."""
        disabled = {name.strip() for name in os.environ.get("GENLOOM_DISABLE_PLUGINS", "").split(",")} - {_CORE}
        for entry_point in found:
            source = _Source(entry_point.name, entry_point.distribution, entry_point.version)
            if disabled & {source.name, source.distribution}:
                self.statuses.append(source.status("disabled", "named in GENLOOM_DISABLE_PLUGINS"))
                continue
            status = self._add_entry_point(source, entry_point)
            self.statuses.append(status)
            if status.cause:
                report(status)

    def _add_entry_point(self, source: _Source, entry_point: Declared) -> PluginStatus:
        other = next((s for s in self.statuses if s.name == source.name and s.status != "disabled"), None)
        if other is not None:
            return source.status("failed", f"the entry point name {source.name!r} is taken by {other.distribution}")
        before = _heavy_modules()
        module, cause, seconds, where = _import(entry_point.load, entry_point.module)
        dragged_in = _heavy_modules() - before
        if cause:
            return source.status("failed", cause, seconds=seconds, where=where)
        if dragged_in:
            return source.status("failed", _too_heavy(dragged_in))
        return self._register(source, module, seconds)

    def add_file(self, file: pathlib.Path) -> PluginStatus:
        return self._add(_Source(file.stem, str(file), ""), functools.partial(_import_file, file), _module_name(file))

    def add_module(self, name: str) -> PluginStatus:
        known = (s for s in self.statuses if isinstance(s.module, types.ModuleType) and s.module.__name__ == name)
        return next(known, None) or self._add(_Source(name, name, ""), lambda: importlib.import_module(name), name)

    def _add(self, source: _Source, load: Callable[[], Any], name: str) -> PluginStatus:
        """Add what was asked for by name: going on without it would surprise, so its defects are raised."""
        module, cause, seconds, where = _import(load, name)
        status = source.status("failed", cause, where=where) if cause else self._register(source, module, seconds)
        status = self._with_components(status, may_be_heavy=True)
        if status.status != "ok":
            raise PluginError(status.defect())
        if status.cause:
            report(status)
        self.statuses.append(status)
        return status

    def _register(self, source: _Source, module: Any, seconds: float) -> PluginStatus:
        """Register an imported module."""
        wanted = getattr(module, "GENLOOM_API", hookspecs.API_VERSION)
        if wanted != hookspecs.API_VERSION:
            cause = f"it was made for plugin API {wanted}, this GenLoom has {hookspecs.API_VERSION}"
            return source.status("incompatible", cause, seconds=seconds, api=wanted)
        try:
            self.manager.register(module, name=source.name)
        except (pluggy.PluginValidationError, ValueError) as error:
            self._unregister(source.name)
            return source.status("failed", _cause(error), seconds=seconds)
        callers = self.manager.get_hookcallers(module) or []
        hooks = tuple(caller.name for caller in callers if caller.has_spec())
        return source.status("ok", _misspelled(module), hooks=hooks, seconds=seconds, api=wanted, module=module)

    def collect(self) -> None:
        """Ask every plugin that was not asked yet for its components."""
        for index, status in enumerate(self.statuses):
            self.statuses[index] = asked = self._with_components(status)
            if asked.status != status.status:
                report(asked)

    def _with_components(self, status: PluginStatus, may_be_heavy: bool = False) -> PluginStatus:
        """Return the status with the plugin's components, or as failed when it cannot give them."""
        if status.status != "ok" or status.name in self._collected:
            return status
        self._collected.add(status.name)
        before = _heavy_modules()
        components: tuple[Component, ...] = ()
        where = ""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                components = _components(status.module)
            dragged_in = set() if may_be_heavy else _heavy_modules() - before
            cause = _too_heavy(dragged_in) if dragged_in else ""
        except (Exception, SystemExit) as error:
            cause, where = _cause(error), line(error, status.packages)
        if not cause:
            return dataclasses.replace(status, components=components)
        self._unregister(status.name)
        return dataclasses.replace(status, status="failed", cause=cause, where=where, hooks=())

    def _unregister(self, name: str) -> None:
        with contextlib.suppress(AssertionError, ValueError):  # it may have failed before it was registered
            self.manager.unregister(name=name)


@dataclasses.dataclass(frozen=True)
class _Source:
    """Where a plugin comes from."""

    name: str
    distribution: str
    version: str

    def status(self, status: str, cause: str = "", **values: Any) -> PluginStatus:
        return PluginStatus(self.name, self.distribution, self.version, status, cause, **values)


@functools.cache
def _loaded() -> _Plugins:
    loaded = _Plugins()
    found = sorted(declared(hookspecs.GROUP), key=lambda each: each.distribution != _CORE)  # its own names come first
    if not (found and found[0].distribution == _CORE):
        raise PluginError("GenLoom's own entry point is missing.", mend="Install it anew: pip install ./core")
    loaded.add_entry_points(found[:1] if _switched_on("GENLOOM_NO_PLUGINS") else found)
    return loaded


def _switched_on(variable: str) -> bool:
    return os.environ.get(variable, "").lower() not in ("", "0", "false", "no")


def _heavy_modules() -> set[str]:
    return {name for name in HEAVY if name in sys.modules}


def _too_heavy(modules: set[str]) -> str:
    return f"it imports {', '.join(sorted(modules))} at load time; move models to a second file"


def _import(load: Callable[[], Any], name: str) -> tuple[Any, str, float, str]:
    """Import the module `name`; return (module, cause of failure or "", seconds, where in it that was or "")."""
    start = time.perf_counter()
    module, cause, where = None, "", ""
    try:
        # What a plugin prints while it loads must not end up in a command's data.
        with contextlib.redirect_stdout(sys.stderr):
            module = load()
    except (Exception, SystemExit) as error:
        cause, where = _cause(error), line(error, [package(name)])
    return module, cause, time.perf_counter() - start, where


def _module_name(file: pathlib.Path) -> str:
    return f"genloom_file_{file.stem}"


def _import_file(file: pathlib.Path) -> Any:
    import importlib.util

    name = _module_name(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{str(file)!r} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that "genloom_file_<stem>:attr" and the file's own stem work as targets
    sys.modules.setdefault(file.stem, module)
    spec.loader.exec_module(module)
    return module


def _components(module: Any) -> tuple[Component, ...]:
    hook = getattr(module, "genloom_components", None)
    if hook is None or getattr(hook, f"{hookspecs.GROUP}_impl", None) is None:
        return ()  # absent, or not marked, which is told
    components = tuple(hook())
    for component in components:
        if not isinstance(component, Component):
            raise PluginError(f"genloom_components returned {component!r}, which is no Component")
    return components


def _misspelled(module: Any) -> str:
    """Return what is wrong with the plugin's hook names, "" when nothing is."""
    known = {name for name in vars(hookspecs) if name.startswith("genloom_")}
    return "; ".join(_misspelled_hooks(module, known))


def _misspelled_hooks(module: Any, known: set[str]) -> Iterator[str]:
    for name, function in vars(module).items():
        if not name.startswith("genloom_") or not callable(function):
            continue
        marked = getattr(function, f"{hookspecs.GROUP}_impl", None)
        if name not in known and not (marked or {}).get("optionalhook"):
            yield f"there is no hook {name!r}.{nearest(name, known)}"
        elif name in known and marked is None:
            yield f"{name} lacks @genloom.hookimpl, so it is never called"


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, SystemExit):
        return f"it exits ({text or 0}) at load time"
    return text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}"
