"""Chains of post-processors: `["clip", "upscale:factor=4"]` turns samples and their spec into others, step by step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from genloom.errors import ConfigError, PluginError
from genloom.postprocess.components import COMPONENTS

if TYPE_CHECKING:
    import numpy as np

    from genloom.data.spec import DataSpec
    from genloom.plugins.component import Component

__all__ = ["COMPONENTS", "Chain", "Step", "chain"]


@dataclasses.dataclass(frozen=True)
class Step:
    """One post-processor with its options.

    Attributes:
        component: what it is; its target is `fn(samples, spec, options) -> (samples, spec)`.
        options: its checked options, None when it has none.
    """

    component: Component
    options: Any = None

    def __call__(self, samples: np.ndarray, spec: DataSpec) -> tuple[np.ndarray, DataSpec]:
        """Process samples (n, *spec.shape).

        Raises:
            ConfigError: a kind of data that the post-processor does not take.
            PluginError: it returned samples that do not have the shape it states.
        """
        self.check(spec)
        samples, spec = self.component.load()(samples, spec, self.options)
        if tuple(samples.shape[1:]) != spec.shape:
            raise PluginError(
                f"The post-processor {self.component.id!r} returned samples of shape {tuple(samples.shape[1:])} and a "
                f"spec of shape {spec.shape}."
            )
        return samples, spec

    def check(self, spec: DataSpec) -> None:
        """Raise ConfigError when the post-processor does not take this kind of data."""
        accepts = self.component.accepts
        if accepts and spec.kind not in accepts:
            raise ConfigError(
                f"The post-processor {self.component.id!r} takes {', '.join(accepts)}, got {spec.kind}.",
                mend="Leave it out, or choose another: genloom list postprocessors.",
            )


@dataclasses.dataclass(frozen=True)
class Chain:
    """Post-processors applied in order; the empty chain changes nothing."""

    steps: tuple[Step, ...] = ()

    def __call__(self, samples: np.ndarray, spec: DataSpec) -> tuple[np.ndarray, DataSpec]:
        """Process samples (n, *spec.shape) and return them with the spec they then have.

        Raises:
            ConfigError: samples that do not fit the spec, or a kind of data that a step does not take.
        """
        if tuple(samples.shape[1:]) != spec.shape:
            raise ConfigError(f"Samples of shape {tuple(samples.shape)} do not fit the spec's shape {spec.shape}.")
        for step in self.steps:
            samples, spec = step(samples, spec)
        return samples, spec


def chain(texts: Iterable[str]) -> Chain:
    """Read post-processors by name, each with its options after a colon: `NAME` or `NAME:k=v,k=v`.

    Raises:
        NotFoundError: nothing has that name; names the nearest.
        ConfigError: an unknown option (with the nearest name), or a value of the wrong type or range.
    """
    return Chain(tuple(_step(text) for text in texts))


def _step(text: str) -> Step:
    from genloom.options import parse_assignments
    from genloom.plugins.registry import find

    name, _, rest = text.partition(":")
    component = find("postprocessor", name.strip())
    values = parse_assignments(item for item in rest.split(",") if item.strip())
    return Step(component, component.configure(**values))
