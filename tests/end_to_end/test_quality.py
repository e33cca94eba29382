"""The bars of the first families on the embedded digits, at the presets the demo uses, for each of three seeds."""

from __future__ import annotations

import pytest

import genloom

# Highest Fréchet distance on 20 principal components at n = 500; marginals reach .88, a mixture of ten .13.
BARS = [("vae/mlp", 0.25), ("gan/mlp", 0.40), ("diffusion/ddpm", 0.20)]


@pytest.mark.quality
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("model", "limit"), BARS)
def test_digits_reach_their_bar(tmp_path, model, limit, seed):
    run = genloom.train(
        model, "digits", preset="tiny", seed=seed, out=tmp_path / "run", sample_every=0, progress="none"
    )
    results = genloom.evaluate(run, ["fd[pca20]"])["results"]
    (distance,) = [entry["value"] for entry in results if entry["name"] == "fd[pca20]"]
    assert distance <= limit
