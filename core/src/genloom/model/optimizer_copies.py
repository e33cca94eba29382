"""Optimizers made anew from others, the variables that they treat apart among what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

__all__ = ["configuration", "copied", "treating_alike"]

# Keras's configurations leave out which variables have no weight decay; ours, which Muon moves.
_APART = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern", "_matrices")


def configuration(
    optimizer: keras.optimizers.Optimizer,
) -> tuple[dict[str, Any], keras.optimizers.schedules.LearningRateSchedule | None]:
    """Return an optimizer's configuration with a plain rate, that of the first update, and its schedule, if any.

    Keras writes a schedule down by what imports TensorFlow on every engine; so a bare copy is asked, without it.
    """
    schedule = optimizer._learning_rate
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return optimizer.get_config(), None
    bare = object.__new__(type(optimizer))
    vars(bare).update(vars(optimizer), _learning_rate=0.0)
    return {**bare.get_config(), "learning_rate": float(keras.ops.convert_to_numpy(schedule(0)))}, schedule


def copied(optimizer: keras.optimizers.Optimizer, config: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """Return a fresh optimizer of a configuration that treats the same variables apart as the old one."""
    return treating_alike(type(optimizer).from_config(dict(config)), optimizer)


def treating_alike(
    optimizer: keras.optimizers.Optimizer, other: keras.optimizers.Optimizer
) -> keras.optimizers.Optimizer:
    """Return the optimizer, told which variables another one treats apart."""
    for name in _APART:
        if hasattr(other, name):
            setattr(optimizer, name, getattr(other, name))
    return optimizer
