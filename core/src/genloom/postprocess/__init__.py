"""Chains of post-processors: `["clip", "upscale:factor=4"]` turns samples and their spec into others, step by step.

Most change each sample by itself: `fn(samples, spec, options) -> (samples, spec)`, over arrays. One that looks at all
of them, or at the model and the data behind them, declares `whole=True` and is `fn(samples, options,
origin) -> samples` over `genloom.Samples`: it may leave samples out, and labels and seeds stay with theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from genloom.arguments import described, many
from genloom.errors import ConfigError, PluginError
from genloom.modalities import takes
from genloom.postprocess.origin import Origin

if TYPE_CHECKING:
    from genloom.data.samples import Samples
    from genloom.data.spec import DataSpec
    from genloom.plugins.offers import Component

__all__ = ["Chain", "Origin", "Step", "chain"]


@dataclasses.dataclass(frozen=True)
class Step:
    """One post-processor with its options.

    Attributes:
        component: what it is.
        options: its checked options, None when it has none.
    """

    component: Component
    options: Any = None

    def __call__(self, samples: Samples, origin: Origin) -> Samples:
        """Process samples.

        Raises:
            ConfigError: a kind of data that the post-processor does not take, or no sample is left.
            PluginError: it returned something else than it states.
        """
        self.check(samples.spec)
        made = self._whole(samples, origin) if self.component.whole else self._each(samples)
        self._check_result(made, len(samples))
        return made

    def _whole(self, samples: Samples, origin: Origin) -> Samples:
        from genloom.data.samples import Samples
        from genloom.plugins.registry import call

        found = call(self.component, "(samples, options, origin)", samples, self.options, origin)
        if not isinstance(found, Samples):
            raise self._broken(found, "Return genloom.Samples, such as samples.take(rows).")
        return found

    def _each(self, samples: Samples) -> Samples:
        import numpy as np

        from genloom.data.spec import DataSpec
        from genloom.plugins.registry import call

        found = call(self.component, "(samples, spec, options)", samples.samples, samples.spec, self.options)
        values, spec = found if isinstance(found, (tuple, list)) and len(found) == 2 else (None, None)
        if not isinstance(values, np.ndarray) or not isinstance(spec, DataSpec):
            raise self._broken(found, "Return the samples, an array, and their DataSpec.")
        return samples.replace(samples=values, spec=spec)

    def _broken(self, found: Any, mend: str) -> PluginError:
        from genloom.plugins.registry import named

        return PluginError(f"{named(self.component)} returned {described(found)}.", mend=mend)

    def check(self, spec: DataSpec) -> None:
        """Raise ConfigError when the post-processor does not take this kind of data."""
        if not takes(self.component, spec):
            accepted = ", ".join(self.component.accepts)
            raise ConfigError(
                f"The post-processor {self.component.id!r} takes {accepted}, got {spec.kind}.",
                mend="Leave it out, or choose another: genloom list postprocessors.",
            )

    def _check_result(self, made: Samples, before: int) -> None:
        name = f"The post-processor {self.component.id!r}"
        if tuple(made.samples.shape[1:]) != made.spec.shape:
            raise PluginError(
                f"{name} returned samples of shape {tuple(made.samples.shape[1:])} and a spec of shape "
                f"{made.spec.shape}."
            )
        for part in ("labels", "seeds"):
            rows = getattr(made, part)
            if rows is not None and len(rows) != len(made):
                raise PluginError(
                    f"{name} returned {len(made)} samples and {len(rows)} {part}.",
                    mend="Declare whole=True and return samples.take(rows).",
                )
        if not len(made):
            raise ConfigError(f"{name} left none of {before} samples.", mend="Draw more, or loosen its options.")


@dataclasses.dataclass(frozen=True)
class Chain:
    """Post-processors applied in order; the empty chain changes nothing.

    Attributes:
        steps: them.
        texts: each as it was written, `NAME` or `NAME:k=v,k=v`.
    """

    steps: tuple[Step, ...] = ()
    texts: tuple[str, ...] = ()

    def __call__(self, samples: Samples, origin: Origin | None = None) -> Samples:
        """Process samples and return them with the spec they then have.

        Args:
            samples: what `genloom.sample` returned, or `Samples(array, spec)`.
            origin: the run behind them; only some post-processors ask for it.

        Raises:
            ConfigError: samples that do not fit their spec, a kind of data that a step does not take, or none is left.
        """
        if tuple(samples.samples.shape[1:]) != samples.spec.shape:
            raise ConfigError(
                f"Samples of shape {tuple(samples.samples.shape)} do not fit the spec's shape {samples.spec.shape}."
            )
        for step in self.steps:
            samples = step(samples, origin or Origin())
        return samples

    def check(self, spec: DataSpec) -> None:
        """Raise ConfigError when the first step does not take this kind of data; what the others get, it decides."""
        for step in self.steps[:1]:
            step.check(spec)


def chain(texts: Iterable[str]) -> Chain:
    """Read post-processors by name, each with its options after a colon: `NAME` or `NAME:k=v,k=v`.

    Raises:
        NotFoundError: nothing has that name; names the nearest.
        ConfigError: no list of texts, an unknown option (with the nearest name), or a value of the wrong type or range.
    """
    written = tuple(many("post", texts, str, "a list of post-processors, such as ['clip']"))
    return Chain(tuple(_step(text) for text in written), written)


def _step(text: str) -> Step:
    from genloom.plugins.registry import chosen

    return Step(*chosen("postprocessor", text))
