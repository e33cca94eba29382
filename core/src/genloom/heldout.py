"""A model's own losses on samples that it was not trained on: all of them, each counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras import ops

from genloom import backend
from genloom.data import validation_batches

if TYPE_CHECKING:
    from genloom.data.dataset import Split
    from genloom.model import GenerativeModel

__all__ = ["losses"]


def losses(model: GenerativeModel, split: Split, batch_size: int = 64) -> dict[str, float]:
    """Return the mean of each of `model.validation` over a split.

    Args:
        model: with the weights to measure; it need not be compiled.
        split: the samples.
        batch_size: samples at once; it changes no result.
    """
    validate = backend.compiled(lambda batch: model.validate(batch), model)
    sums = dict.fromkeys(model.validation, 0.0)
    for batch in validation_batches(split, batch_size):
        values = validate({name: ops.convert_to_tensor(array) for name, array in batch.items()})
        for name, value in values.items():
            sums[name] += float((ops.convert_to_numpy(value) * batch["mask"]).sum())
    return {name: total / len(split) for name, total in sums.items()}
