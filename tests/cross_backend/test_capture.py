"""On torch every first-party step is captured whole, with what usually breaks capture switched on."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

from genloom import backend

IDS = ("diffusion/ddpm", "gan/dcgan", "gan/mlp", "gan/wgan-gp", "vae/conv", "vae/mlp")
DROPOUT = {"diffusion/ddpm", "gan/dcgan", "gan/mlp"}


@pytest.mark.skipif(backend.name() != "torch", reason="only torch captures")
@pytest.mark.parametrize("id", IDS)
def test_a_step_with_dropout_average_and_schedule_is_captured(id: str, first_party: ModuleType) -> None:
    options: dict[str, Any] = {"dropout": 0.2} if id in DROPOUT else {}
    model = first_party.build(id, **options)
    model.noise = "native"
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, 20)
    model.compile(keras.optimizers.Adam(schedule), ema=0.9)
    before = [np.array(keras.ops.convert_to_numpy(v.value)) for v in model.trainable_variables]
    stream = ((first_party.batch_of(model, step),) for step in range(4))
    model.fit(stream, steps_per_epoch=3, verbose=0, shuffle=False)
    assert model._captured.fallback is None
    assert model._captured.captures == 1
    after = [np.array(keras.ops.convert_to_numpy(v.value)) for v in model.trainable_variables]
    assert sum(np.abs(a - b).max() > 0 for a, b in zip(before, after, strict=True)) > 0.8 * len(before)
