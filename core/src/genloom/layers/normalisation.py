"""Group normalisation that reaches each engine's fused kernel."""

from __future__ import annotations

import math
from typing import Any

import keras

from genloom import backend
from genloom.errors import ConfigError

__all__ = ["GroupNorm", "default_groups"]


def default_groups(channels: int, per_group: int = 8, at_most: int = 32) -> int:
    """Return a number of groups that divides `channels`: about `per_group` channels each, 32 groups at most."""
    return math.gcd(channels, max(1, min(at_most, channels // per_group)))


@keras.saving.register_keras_serializable(package="genloom")
class GroupNorm(keras.layers.Layer):
    """Group normalisation (Wu and He 2018, eq. 7): each sample's channels in groups get mean 0 and variance 1.

    Args:
        groups: number of groups, which must divide the channels; None chooses `default_groups`.
        axis: axis of the channels, -1 or 1.
        epsilon: added to the variance.
    """

    def __init__(self, groups: int | None = None, axis: int = -1, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups, self.axis, self.epsilon = groups, axis, epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the scale and the shift, one each per channel."""
        channels = int(input_shape[self.axis] or 0)
        self.groups = default_groups(channels) if self.groups is None else self.groups
        if self.groups < 1 or channels % self.groups:
            raise ConfigError(f"{channels} channels cannot be cut into {self.groups} groups.")
        self.gamma = self.add_weight(shape=(channels,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(channels,), initializer="zeros", name="beta")

    def call(self, x: Any) -> Any:
        """Return x of any shape, normalised."""
        return backend.group_norm(x, self.groups, self.gamma, self.beta, self.epsilon, self.axis)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of x."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the configuration."""
        return {**super().get_config(), "groups": self.groups, "axis": self.axis, "epsilon": self.epsilon}
