"""A model that looks codes up learns from examples alone, and soft prompts beside examples: `nox -s quality`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom_adapt import SoftOptions, adapt
from genloom_language.prompting import cipher_task, prompt

#: Examples → the least accuracy; without any nothing can be known.
BARS = {1: 0.90, 2: 0.90, 4: 0.95}


@pytest.fixture(scope="module")
def lookup(tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = {"validation": 0.0, "sample_every": 0, "progress": "none"}
    out = tmp_path_factory.mktemp("lookup") / "run"
    return genloom.train("language/transformer", "cipher", preset="lookup", out=out, **settings)


def accuracies(run: Any, *examples: int) -> dict[int, dict[str, Any]]:
    results = prompt(run, cipher_task(), list(examples))["results"]
    return {entry["k"]: entry for entry in results if entry["measure"] == "acc"}


@pytest.mark.quality
def test_codes_never_trained_on_are_known_from_one_example(lookup: Any) -> None:
    found = accuracies(lookup, 0, *BARS)
    print("\n" + ", ".join(f"{k}: {entry['value']:.3f} ± {entry['stderr']:.3f}" for k, entry in found.items()))
    # Three standard errors of 500 coins of 1/16.
    assert found[0]["value"] == pytest.approx(1 / 16, abs=0.033)
    for k, bar in BARS.items():
        assert found[k]["value"] >= bar
        assert found[k]["cut"] == 0


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
    assert np.mean(right) >= accuracies(lookup, 1)[1]["value"]
