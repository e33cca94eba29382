"""Soft prompts against examples, on a model that looks codes up: `nox -s quality`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom_adapt import SoftOptions, adapt
from genloom_language.prompting import cipher_task, prompt


@pytest.fixture(scope="module")
def lookup(tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = {"validation": 0.0, "sample_every": 0, "progress": "none"}
    out = tmp_path_factory.mktemp("lookup") / "run"
    return genloom.train("language/transformer", "cipher", preset="lookup", out=out, **settings)


def accuracies(run: Any) -> dict[int, dict[str, Any]]:
    results = prompt(run, cipher_task(), [1])["results"]
    return {entry["k"]: entry for entry in results if entry["measure"] == "acc"}


@pytest.mark.quality
def test_eight_soft_vectors_know_a_code_as_well_as_one_example_does(lookup: Any) -> None:
    """Sixteen letters of a code that is told by gradients only, in three codes."""
    x = genloom.data.open("cipher").test.arrays()["x"]
    letters, codes = np.unique(x[:, 0::2]), np.unique(x[:, 1::2])
    right = []
    for seed in range(3):
        secret = np.random.default_rng(seed).permutation(16)
        pairs = np.stack([letters, codes[secret]], axis=1).astype("int32")
        model = genloom.load(lookup)
        model.trainable = True
        adapt(model, SoftOptions(vectors=8), seed)
        model.compile(keras.optimizers.Adam(0.03))
        batches = (({"x": pairs},) for _ in range(800))
        model.fit(batches, steps_per_epoch=800, epochs=1, shuffle=False, verbose=0)
        logits = np.asarray(ops.convert_to_numpy(model.logits(ops.convert_to_tensor(pairs[:, :1]))))
        right.append(float((logits[:, 0].argmax(-1) == pairs[:, 1]).mean()))
    print(f"\nsoft prompts: {right}")
    assert np.mean(right) >= accuracies(lookup)[1]["value"]
