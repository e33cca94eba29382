"""What is known about one plugin after looking for it: where it came from, whether it works, what it offers."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

from genloom.plugins.blame import package
from genloom.plugins.offers import Component

__all__ = ["FILE", "PluginStatus"]

#: How the path ends of a plugin that is one file, given with -p.
FILE = ".py"


@dataclasses.dataclass(frozen=True)
class PluginStatus:
    """The state of one plugin.

    Attributes:
        name: entry point name, or the stem of a file given with -p.
        distribution: the distribution that brought it, or the file's path.
        version: version of the distribution, "" for a file.
        status: "ok", "failed", "incompatible" or "disabled".
        cause: why it is not ok, or a defect that the rest of the plugin survives; "" without one.
        api: version of the plugin API it was written for, 0 when it was not imported.
        where: "file.py, line 3" of the plugin's own code that is at fault, "" where that is not known.
        components: what it offers.
        hooks: names of the hooks it implements.
        seconds: time its import took.
        module: the imported module, None when it was not imported.
    """

    name: str
    distribution: str
    version: str
    status: str
    cause: str = ""
    components: tuple[Component, ...] = ()
    hooks: tuple[str, ...] = ()
    seconds: float = 0.0
    api: int = 0
    where: str = ""
    module: Any = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def packages(self) -> set[str]:
        """The top packages that its code is in; none for GenLoom's own components."""
        modules = [component.target.partition(":")[0] for component in self.components]
        return {*map(package, modules), self.home} - {"genloom", ""}

    @property
    def home(self) -> str:
        """The top package that its hooks are in, "" of one that was not imported."""
        return package(self.module.__name__) if isinstance(self.module, types.ModuleType) else ""

    @property
    def title(self) -> str:
        """What to call it in a message: "Plugin 'vae' (genloom-vae 0.1.0)"."""
        return f"Plugin {self.name!r} ({self.source})"

    @property
    def source(self) -> str:
        """Where it comes from, as a run remembers it: "genloom-vae 0.1.0", or the path of a file given with -p."""
        return f"{self.distribution} {self.version}".rstrip()

    def defect(self) -> str:
        """Return one line: distribution, version, cause and line at fault, and how to skip or remove the plugin."""
        where = f" ({self.where})" if self.where else ""
        said = f"{self.title}: {_one_line(self.cause)}{where}"
        if not self.version:  # a file, named by its path
            return f"{said}. Leave out -p {self.distribution} to skip it."
        # Two distributions may share one entry point name, so the distribution is the name that always works.
        return (
            f"{said}. Skip it with GENLOOM_DISABLE_PLUGINS={self.distribution}"
            f" or remove it with: genloom uninstall {self.distribution}"
        )

    def summary(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "api": self.api,
            "status": self.status,
            "cause": self.cause,
            "where": self.where,
            "components": [component.id for component in self.components],
            "hooks": list(self.hooks),
            "seconds": round(self.seconds, 4),
        }


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
