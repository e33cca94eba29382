"""What large models need: blocks computed again in place of kept, arithmetic in bfloat16, Muon."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, backend
from genloom.naming import variable_names

SPEC = DataSpec((17,), kind="text", dtype="int32", value_range=None, vocabulary=11)
SHAPES: dict[str, dict[str, Any]] = {
    "gpt": {"layers": 2, "heads": 2, "width": 16, "dropout": 0.3},
    "llama": {
        "layers": 2, "heads": 4, "key_heads": 2, "width": 16, "position": "rotary", "norm": "rms",
        "activation": "swiglu", "tied": False, "dropout": 0.3,
    },
}  # fmt: skip


def batch(packed: bool) -> dict[str, np.ndarray]:
    """Eight windows, in the packed form of two documents each."""
    x = np.random.default_rng(1).integers(0, 11, (8, 17)).astype("int32")
    if not packed:
        return {"x": x}
    document = np.broadcast_to(np.arange(17, dtype="int32") // 9, x.shape)
    return {"x": x, "document": document, "place": np.broadcast_to(np.arange(17, dtype="int32") % 9, x.shape)}


def trained(shape: str, packed: bool, noise: str, remat: bool, **compiled: Any) -> tuple[Any, list[float], dict[str, Any]]:
    """Return a model after four steps of one batch, its losses, and its weights."""
    model = genloom.create("language/transformer", SPEC, seed=3, noise=noise, remat=remat, **SHAPES[shape])
    model.compile(keras.optimizers.SGD(1.0), **compiled)
    losses = []
    for _ in range(4):
        history = model.fit(((part,) for part in [batch(packed)]), steps_per_epoch=1, verbose=0, shuffle=False).history
        losses.append(float(history["loss"][0]))
    model.sync_state()
    return model, losses, {name: ops.convert_to_numpy(v.value) for name, v in variable_names(model).items()}


@pytest.mark.parametrize(("shape", "packed", "noise"), [("gpt", False, "native"), ("llama", True, "portable")])
def test_blocks_computed_again_change_nothing(shape: str, packed: bool, noise: str) -> None:
    """SGD at rate 1 moves weights by their gradients, dropout masks and all."""
    model, losses, weights = trained(shape, packed, noise, remat=True)
    _, expected, kept = trained(shape, packed, noise, remat=False)
    if backend.name() == "torch":
        assert model._captured.fallback is None and model._captured.captures == 1
    assert losses == pytest.approx(expected, abs=1e-6)
    for name, value in kept.items():
        np.testing.assert_allclose(weights[name], value, atol=2e-6, err_msg=name)
    start = genloom.create("language/transformer", SPEC, seed=3, **SHAPES[shape])
    moved = [np.abs(weights[name] - ops.convert_to_numpy(v.value)).max() for name, v in variable_names(start).items()]
    assert min(moved) > 1e-5
