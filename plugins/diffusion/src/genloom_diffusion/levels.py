"""Masked diffusion of values that are levels: pictures of few shades, counts, categories of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
from keras import ops

from genloom import DataSpec
from genloom.errors import ConfigError
from genloom.layers import guided, hide_labels
from genloom_diffusion.checks import check_guidance
from genloom_diffusion.masked import Masked
from genloom_diffusion.masked_options import LevelsOptions

__all__ = ["Levels"]


class Levels(Masked):
    """Masked diffusion (Austin et al. 2021; Sahoo et al. 2024) over the levels of values, in the order of the array.

    Args and errors are those of `Masked`; a network of your own may take one-hot labels (n, classes) beside z, a row of
    zeros where there is none.
    """

    Options: ClassVar[type] = LevelsOptions
    validation: ClassVar[tuple[str, ...]] = ("loss", "bound", "bits")
    """Held-out `loss` as trained, `bound`, an upper bound on -log p in nats per value, and the same in bits."""

    def check_data(self, spec: DataSpec) -> None:
        """Refuse data that this model cannot take, and options that nothing heeds.

        Raises:
            ConfigError: values on no known levels, or guidance of a model that is told no labels.
        """
        if not spec.levels:
            raise ConfigError(
                f"Masked diffusion needs values on levels, and those of this {spec.kind} are continuous.",
                mend="Say how many there are, such as npz:FILE?levels=256, or train diffusion/flow.",
            )
        if self.options.guidance != 1.0:
            check_guidance(self.options, bool(self.labels_known()))

    def labels_known(self) -> int:
        """Return how many classes the network is told of."""
        return self.spec.classes if self.options.conditional else 0

    def tokens(self, batch: dict[str, Any]) -> Any:
        """Return the levels of a batch's values, int32 (n, size)."""
        low, high = self._range()
        x = ops.reshape(ops.cast(ops.convert_to_tensor(batch["x"]), "float32"), (-1, self.length))
        return ops.cast(ops.round((x - low) * ((self.mask - 1) / (high - low))), "int32")

    def values(self, tokens: Any) -> Any:
        """Return the values (n, *shape) of levels (n, size)."""
        low, high = self._range()
        x = low + ops.cast(tokens, "float32") * ((high - low) / (self.mask - 1))
        return ops.reshape(x, (-1, *self.spec.shape))

    def _range(self) -> tuple[float, float]:
        return cast("tuple[float, float]", self.spec.value_range)  # which levels have

    def training_label(self, batch: dict[str, Any], n: int) -> Any:
        """Return the labels (n,) that a step shows the network, some of them hidden; None without."""
        if not self.conditional:
            return None
        if not self.options.label_dropout:
            return self.labels_of(batch)
        return hide_labels(self.labels_of(batch), self.uniform((n,)), self.options.label_dropout, self.spec.classes)

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return held-out values per sample (n,), at keyed masks."""
        loss, bound = self.held_out(batch)
        return {"loss": loss, "bound": bound, "bits": bound / math.log(2.0)}

    def read_condition(self, given: Mapping[str, Any], n: int) -> Mapping[str, Any]:
        """Check "tokens", levels (n, size) in the order of the array, -1 where one is to be drawn.

        Raises:
            ConfigError: another shape, or no levels.
        """
        if "tokens" not in given:
            return given
        return {**given, "tokens": self.checked_tokens(np.asarray(given["tokens"]), n)}

    def draw(self, keys: Any, condition: dict[str, Any], *, guidance: float | None = None, **asked: Any) -> Any:
        """Return samples (n, *shape), each value on a level.

        Args:
            keys: per-sample keys (n, 2).
            condition: {"label": (n,) int32}, or none for unlabelled samples; "tokens" as in `Masked.draw`.
            guidance: by labels, 1 for none.
            **asked: as for `Masked.draw`.

        Raises:
            ConfigError: an unknown sampler, a value out of range, or guidance of a model that is told no labels.
        """
        chosen = self.options_with(guidance=guidance, **asked)
        if chosen.guidance != 1.0:
            check_guidance(chosen, bool(self.conditional))
        n = int(keys.shape[0])
        label = condition.get("label", ops.full((n,), self.spec.classes, dtype="int32"))

        def network(z: Any, t: Any, label: Any) -> Any:
            return self.logits(z, label)

        guides = self.conditional and "label" in condition
        answers = guided(network, chosen.guidance, self.spec.classes) if guides else network
        return self.values(self.filled(lambda z: answers(z, ops.zeros((n,)), label), keys, condition, chosen))

    def evaluations(self, **asked: Any) -> int:
        """Return network evaluations per sample under sampling options; guidance doubles them."""
        chosen = self.options_with(**asked)
        return int(chosen.steps) * (2 if chosen.guidance != 1.0 else 1)
