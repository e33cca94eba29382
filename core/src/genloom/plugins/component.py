"""A component: one model, data set, metric or post-processor, described so lightly that listing imports nothing."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Mapping
from typing import Any

from genloom.errors import ConfigError, GenLoomError, PluginError, nearest
from genloom.options import RESERVED, check_names, configure
from genloom.plugins.blame import at_line, package

__all__ = ["COMPONENT_KINDS", "Component"]

COMPONENT_KINDS = ("model", "dataset", "metric", "postprocessor")

# One optional plugin prefix, then a name; brackets are for metrics over features, `fd[pixels]`.
_ID = re.compile(r"([a-z0-9][\w.-]*/)?[a-z0-9][\w.\[\]-]*")

# What stands between an id and its options where both are typed together: `toy:8-ring?sigma=1`, `upscale:factor=4`.
_BEFORE_OPTIONS = {"dataset": "?", "postprocessor": ":"}


@dataclasses.dataclass(frozen=True)
class Component:
    """Describe something a plugin offers under an id.

    Attributes:
        kind: one of `COMPONENT_KINDS`.
        id: `<plugin>/<name>`, such as `vae/conv`; the name alone works while it is unique.
        target: "module:attr", imported only when the component is used.
        summary: one line for `genloom list`.
        options: the frozen options dataclass, or None without options.
        presets: named option values, such as {"tiny": {"latent": 2}}.
        accepts: kinds of data it takes, such as ("image",); empty means any.
        extras: anything else that readers of this kind of component know, such as the "endings" of files that a source
            of data reads, (".npz",).

    Raises:
        PluginError: an unknown kind, a malformed id or target, a model's option with a reserved name.
    """

    kind: str
    id: str
    target: str
    summary: str
    options: type[Any] | None = None
    presets: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    accepts: tuple[str, ...] = ()
    extras: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in COMPONENT_KINDS:
            raise PluginError(
                f"Component {self.id!r} has the unknown kind {self.kind!r}.",
                mend=f"Use one of {', '.join(COMPONENT_KINDS)}.",
            )
        if not _ID.fullmatch(self.id):
            raise PluginError(
                f"Malformed component id {self.id!r}.",
                mend="Write plugin/name in lower case.",
            )
        module, colon, attribute = self.target.partition(":")
        if not (module and colon and attribute):
            raise PluginError(
                f"Component {self.id!r} has the target {self.target!r}.",
                mend="Write module:attr.",
            )
        if self.kind == "model" and self.options is not None:
            check_names(self.options, RESERVED, f"Component {self.id!r}")

    @property
    def name(self) -> str:
        """The id without the plugin's prefix."""
        return self.id.rpartition("/")[2]

    def load(self) -> Any:
        """Import the target and return it.

        Raises:
            PluginError: the module cannot be imported, or has no such attribute; names the line at fault.
        """
        module, _, attribute = self.target.partition(":")
        try:
            loaded: Any = importlib.import_module(module)
            for part in attribute.split("."):
                loaded = getattr(loaded, part)
        except GenLoomError:
            raise
        except (Exception, SystemExit) as error:
            cause = f"{type(error).__name__}: {error}{at_line(error, [package(module)])}"
            raise PluginError(f"Component {self.id!r} cannot be loaded from {self.target!r}: {cause}.") from error
        return loaded

    def configure(self, preset: str | None = None, **values: Any) -> Any:
        """Return the options object: defaults, then the preset, then `values`; None without an options class.

        Raises:
            ConfigError: an unknown preset or option (with the nearest name), or a value of the wrong type or range.
        """
        if preset is not None and (not isinstance(preset, str) or preset not in self.presets):
            known = ", ".join(self.presets) or "none"
            raise ConfigError(
                f"{self.id} has no preset {preset!r}.{nearest(preset, self.presets)}",
                mend=f"Presets: {known}.",
            )
        if self.options is None:
            if values:
                raise ConfigError(f"{self.id} takes no options, got {', '.join(values)}.")
            return None
        return configure(self.options, self.presets.get(preset or "", {}), values, named=self._typed)

    def _typed(self, name: str) -> str:
        """Return an option as its user typed it."""
        mark = _BEFORE_OPTIONS.get(self.kind)
        return name if mark is None else f"{self.id}{mark}{name}"
