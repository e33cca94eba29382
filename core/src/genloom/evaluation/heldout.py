"""A model's own losses on samples that it was not trained on: all of them, each counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

from genloom import backend
from genloom.data import validation_batches
from genloom.errors import DataError
from genloom.model.promises import check_held_out

if TYPE_CHECKING:
    from genloom.data.dataset import Split
    from genloom.model import GenerativeModel

__all__ = ["losses"]


def losses(model: GenerativeModel, split: Split, batch_size: int = 64) -> dict[str, float]:
    """Return the mean of each of `model.validation` over a split, each sample by its weight.

    Args:
        model: with the weights to measure; it need not be compiled.
        split: the samples.
        batch_size: samples at once; it changes no result.

    Raises:
        DataError: no sample has a weight.
        PluginError: the model gives other values than it declares, or not one per sample.
    """

    def held_out(batch: dict[str, Any]) -> tuple[Any, Any]:
        values, weights = model.validate(batch), model.validation_weights(batch)
        check_held_out(model, values, weights, int(batch["x"].shape[0]))
        return values, weights

    validate = backend.compiled(held_out, model)
    sums, total = dict.fromkeys(model.validation, 0.0), 0.0
    for batch in validation_batches(split, batch_size):
        values, weights = validate({name: ops.convert_to_tensor(array) for name, array in batch.items()})
        weights = ops.convert_to_numpy(weights) * batch["mask"]
        total += float(weights.sum())
        for name, value in values.items():
            sums[name] += float((ops.convert_to_numpy(value) * weights).sum())
    if not total:
        raise DataError(f"None of {len(split)} held-out samples counts in a loss.", mend="Hold out other samples.")
    return {name: value / total for name, value in sums.items()}
