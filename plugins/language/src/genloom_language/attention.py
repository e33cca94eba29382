"""What attends to what: RUN/samples/attention.png, drawn when a training ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

import genloom.data
from genloom.errors import GenLoomError
from genloom.files.atomic import write_atomic
from genloom.messages import tell
from genloom.modalities.drawing import to_bytes
from genloom.runs import Run
from genloom_language.heat_maps import heat_maps, tokens_that_fit
from genloom_language.model import Transformer
from genloom_language.tokens import FILE, load_tokenizer

__all__ = ["DrawAttention"]

_LAYERS, _HEADS = 6, 8  # more cannot be told apart on a page
_DOCUMENTS = 64  # held-out windows of which the one with the longest first document is looked at


class DrawAttention(keras.callbacks.Callback):
    """Draw the attention of the trained weights on the beginning of the held-out text.

    Args:
        run: the training run.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep: nothing."""
        return {}

    def on_train_end(self, logs: Any = None) -> None:
        """Draw; a picture that cannot be drawn is no reason to fail the training."""
        if not isinstance(self.model, Transformer):
            return
        try:
            x = _beginning(genloom.data.open(self.run.address).test)
        except GenLoomError as error:
            tell(f"no picture of attention: {error}")
            return
        layers = _evenly(len(self.model.blocks), _LAYERS)
        heads = min(self.model.options.heads, _HEADS)
        x = x[: min(tokens_that_fit(len(layers), heads), self.model.length - 1)]
        weights = self._weights(x)[layers, :heads]
        image = heat_maps(weights, self._labels(x, weights.shape[-1]), [layer + 1 for layer in layers])
        write_atomic(self.run.path / "samples" / "attention.png", to_bytes(image))

    def _weights(self, x: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return (layers, heads, t, t), or t + 1 columns where a learned prompt comes first."""
        self.model.sync_state()
        with self.model.averaged_weights():
            found = np.asarray(ops.convert_to_numpy(self.model.attention(x[None])))[0]
        before = found.shape[-1] - len(x)
        prompt = found[..., :before].sum(-1, keepdims=True)
        return np.concatenate([prompt, found[..., before:]], axis=-1) if before else found

    def _labels(self, x: NDArray[np.int32], columns: int) -> list[str]:
        file = Path(self.run.path) / FILE
        tokenizer = load_tokenizer(file) if file.is_file() else None
        names = [str(token) if tokenizer is None else tokenizer.decode([token], False) for token in x.tolist()]
        return ["prompt"] * (columns - len(x)) + names


def _beginning(split: Any) -> NDArray[np.int32]:
    """Return the tokens of the first window, or of the longest document that begins one."""
    windows = split.arrays(_DOCUMENTS)
    if "document" not in windows:
        return np.asarray(windows["x"][0], np.int32)
    lengths = (windows["document"] == 0).sum(1)
    row = int(lengths.argmax())
    return np.asarray(windows["x"][row, : lengths[row]], np.int32)


def _evenly(n: int, most: int) -> list[int]:
    """Return at most `most` of n numbers, evenly apart, the first and the last among them."""
    return list(range(n)) if n <= most else [round(i * (n - 1) / (most - 1)) for i in range(most)]
