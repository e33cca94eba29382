"""What plugins hand to the core and the core to plugins, described so lightly that listing imports nothing."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from genloom.errors import ConfigError, GenLoomError, PluginError, nearest
from genloom.options import RESERVED, check_names, configure
from genloom.plugins.blame import at_line, package

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ANY", "COMPONENT_KINDS", "NUMERIC", "Component", "MetricTraits", "Preset", "SampleRequest", "Section"]

#: Stand in `Component.accepts` for every kind of data, and for every one whose values are amounts.
ANY = "any"
NUMERIC = "numeric"

#: Kind of component → its plural, as `genloom list` takes it.
COMPONENT_KINDS = {
    "model": "models",
    "dataset": "datasets",
    "metric": "metrics",
    "postprocessor": "postprocessors",
    "modality": "modalities",
    "adapter": "adapters",
    "remedy": "remedies",
}

# One optional plugin prefix, then a name; brackets are for metrics over features, `fd[pixels]`.
_ID = re.compile(r"([a-z0-9][\w.-]*/)?[a-z0-9][\w.\[\]-]*")

# What stands between an id and its options where both are typed together: `toy:8-ring?sigma=1`, `upscale:factor=4`.
_BEFORE_OPTIONS = {"dataset": "?", "postprocessor": ":", "adapter": ":", "remedy": ":"}


@dataclasses.dataclass(frozen=True)
class Preset:
    """Named values.

    Attributes:
        options: of a component's options, such as {"latent": 2}.
        training: of the training settings that go with them, such as {"epochs": 30}.
    """

    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def short(cls, options: Mapping[str, Any], every: int = 20, **training: Any) -> Preset:
        """Return a preset of runs that last seconds: a checkpoint, a picture and a validation only `every` epochs."""
        cadence = dict.fromkeys(("checkpoint_every", "sample_every", "validate_every"), every)
        return cls(options, {"batch_size": 64, "ema": 0.99, **cadence, **training})


@dataclasses.dataclass(frozen=True)
class MetricTraits:
    """How a metric is measured.

    Attributes:
        lower_is_better: None when nearer to the floor is better.
        features: what it looks at: `values`, `pca<k>` or `classifier<k>`.
        needs_labels: whether generated samples must carry the label they were asked to have.
        needs_classifier: whether the data set must be labelled.
        needs_modes: whether the data set must be a mixture with known modes.
        floor: "train" scores training samples against held-out ones, "test" the held-out ones themselves (for a
            metric that searches the training data).
        limit: most samples it looks at, drawn by seed; None for all.
        needs_samples: fewest samples it can be measured on, generated and held out alike.
        revision: raised when its arithmetic changes, so that old and new values part.
        default: whether `evaluate` measures it without being asked.
    """

    lower_is_better: bool | None = None
    features: str = "values"
    needs_labels: bool = False
    needs_classifier: bool = False
    needs_modes: bool = False
    floor: Literal["train", "test"] = "train"
    limit: int | None = None
    needs_samples: int = 1
    revision: int = 1
    default: bool = False


@dataclasses.dataclass(frozen=True)
class Component:
    """Describe something a plugin offers under an id.

    Attributes:
        kind: one of `COMPONENT_KINDS`.
        id: `<plugin>/<name>`, such as `vae/conv`; the name alone works while it is unique.
        target: "module:attr", imported only when the component is used.
        summary: one line for `genloom list`.
        options: the frozen options dataclass, or None without options.
        presets: presets by name, such as {"tiny": Preset({"latent": 2})}.
        accepts: kinds of data it takes, such as ("image",), (NUMERIC,) or (ANY,); empty means any, too.
        training: of a model: the training settings that it recommends under every preset.
        metric: of a metric: how it is measured.
        endings: of a data set: endings of the files that it reads, such as (".npz",).
        whole: of a post-processor: whether it looks at all samples at once, or at the model and the data behind them.

    Raises:
        PluginError: an unknown kind, a malformed id or target, a preset that is none, a model's option with a reserved
            name.
    """

    kind: str
    id: str
    target: str
    summary: str
    options: type[Any] | None = None
    presets: Mapping[str, Preset] = dataclasses.field(default_factory=dict)
    accepts: tuple[str, ...] = ()
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metric: MetricTraits = MetricTraits()
    endings: tuple[str, ...] = ()
    whole: bool = False

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
        for name, preset in self.presets.items():
            if not isinstance(preset, Preset):
                raise PluginError(
                    f"The preset {name!r} of {self.id} is {preset!r}.", mend="Write Preset({option: value, …})."
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
        return configure(self.options, self._preset(preset).options, values, named=self._typed)

    def recommended(self, preset: str | None = None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return the training settings under every preset, and those of one; the second win over the first."""
        return self.training, self._preset(preset).training

    def _preset(self, name: str | None) -> Preset:
        return self.presets.get(name or "", Preset())

    def _typed(self, name: str) -> str:
        """Return an option as its user typed it."""
        mark = _BEFORE_OPTIONS.get(self.kind)
        return name if mark is None else f"{self.id}{mark}{name}"


@dataclasses.dataclass(frozen=True)
class SampleRequest:
    """What `genloom_sample` is asked for.

    Attributes:
        n: number of samples.
        seed: seed of the samples; sample i of one seed is always the same.
        condition: arrays with leading n by name, or None.
        options: the model's own sampling options.
        draw: draws the samples; called once by the core, inside all wrappers.
    """

    n: int
    seed: int
    condition: Mapping[str, Any] | None
    options: Mapping[str, Any]
    draw: Callable[[], Any] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Section:
    """One titled part of a report.

    Attributes:
        title: its heading, plain text.
        html: trusted markup, put in as it is; it may refer to nothing outside itself.
        text: plain text, escaped; an empty line begins a paragraph.
        figures: (caption, picture) pairs.
    """

    title: str
    html: str = ""
    text: str = ""
    figures: Sequence[tuple[str, Image]] = ()

    @property
    def paragraphs(self) -> list[str]:
        """The paragraphs of `text`."""
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]
