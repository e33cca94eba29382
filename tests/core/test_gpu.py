"""The same numbers on an accelerator as on the processor, each in its own process: an engine picks its device once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

# Prints the device, portable normals, and the losses of thirty steps on the digits with portable training noise.
PROGRAM = """
import json
import keras
import genloom

device = str(keras.ops.ones(1).device).lower()
normals = keras.ops.convert_to_numpy(genloom.random.normal(genloom.random.keys(7, 16), (8, 8))).tolist()
data = genloom.data.open("digits")
model = genloom.create("vae/conv", data.spec, preset="tiny", noise="portable")
loader = genloom.data.Loader(data.train, 32, 0)
losses = [float(model.train_on_batch(loader.batch(step), return_dict=True)["loss"]) for step in range(30)]
print(json.dumps({"device": device, "normals": normals, "losses": losses}))
"""


def run(env: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=env, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.gpu
def test_draws_and_losses_on_the_accelerator_are_those_of_the_processor(
    subprocess_env: Callable[..., dict[str, str]],
) -> None:
    accelerated = run(subprocess_env())
    plain = run(subprocess_env(CUDA_VISIBLE_DEVICES="-1", JAX_PLATFORMS="cpu"))
    assert "cuda" in accelerated["device"] or "gpu" in accelerated["device"]
    assert "cpu" in plain["device"]
    np.testing.assert_allclose(accelerated["normals"], plain["normals"], atol=1e-5)
    # TF32 products keep ten bits: the first loss agrees to about 1e-3, later ones drift apart slowly.
    np.testing.assert_allclose(accelerated["losses"][:10], plain["losses"][:10], rtol=1e-2)
    assert np.mean(accelerated["losses"][-5:]) < 0.9 * np.mean(accelerated["losses"][:5])
