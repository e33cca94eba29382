"""Missing values filled by what the model believes of them (MIWAE, Mattei and Frellsen 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

from genloom import random

if TYPE_CHECKING:
    from genloom_vae.model import VAE

__all__ = ["impute"]


def impute(model: VAE, x: Any, label: Any = None, *, draws: int = 64, seed: int = 0) -> Any:
    """Return samples whose missing values are E[x_missing | x_seen], by importance weights (MIWAE, eq. 13).

    The encoder sees 0 of the normalised data for a missing value, as in training with the option `missing`.

    Args:
        model: a VAE, best one trained with `missing`.
        x: samples (n, *shape) in the spec's range, NaN where a value is missing.
        label: int (n,), when the model is conditional.
        draws: codes drawn per sample.
        seed: fixes the draws.

    Returns:
        (n, *shape): seen values as they are.
    """
    x = ops.cast(ops.convert_to_tensor(x), "float32")
    known = ops.logical_not(ops.isnan(x))
    seen = ops.cast(known, "float32")
    labels = model.one_hot_of({"label": label})
    normalised = ops.where(known, model.normalised(ops.where(known, x, ops.zeros_like(x))), ops.zeros_like(x))
    keys = random.keys(seed, int(x.shape[0]))
    log_weights, output = model.weighed(normalised, model.infer(normalised, labels), labels, keys, range(draws), seen)
    mean = ops.reshape(model.likelihood.mean(ops.reshape(output, (-1, *output.shape[2:]))), (draws, *x.shape))
    weights = ops.reshape(ops.softmax(log_weights, axis=0), (draws, -1, *[1] * (len(x.shape) - 1)))
    return ops.where(known, x, model.denormalised(ops.sum(weights * mean, axis=0)))
