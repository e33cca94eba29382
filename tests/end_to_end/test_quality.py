"""The bars of the first families on the embedded digits, at the presets the demo uses, and what adapters reach."""

from __future__ import annotations

import numpy as np
import pytest

import genloom
from genloom.evaluation.judging import Judge
from genloom.model.naming import variable_names
from genloom_adapt import adapters

# Highest Fréchet distance on 20 principal components at n = 500, where real digits get .070, a mixture of ten .129 and
# marginals .880. Measured for the seeds 1, 2, 3: VAE .097 .115 .113, GAN .107 .107 .104, diffusion .121 .124 .129.
# A bar is the worst seed and the spread of the seeds beside it; a hundredth stays for another engine.
BARS = [("vae/mlp", 0.14), ("gan/mlp", 0.12), ("diffusion/ddpm", 0.14)]


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


@pytest.mark.quality
def test_lora_turns_a_model_of_digits_into_one_of_things(shared_data, tmp_path):
    """Grey thumbnails of ten kinds of things, by what full fine-tuning gains; marginals have a distance of 1.16."""
    things = f"images:{shared_data / 'cifar10-jpg'}?size=8&channels=1"
    asked = {"sample_every": 0, "progress": "none", "validation": 0.0, "ema": 0.99}
    base = genloom.train("diffusion/ddpm", "digits", preset="tiny", steps=1000, out=tmp_path / "base", **asked)
    judge, dataset = Judge("fd[pca20]", seed=0), genloom.data.open(things)
    distances = {"base": judge(genloom.load(base), dataset)[0]}
    asked |= {"init_from": base.path, "steps": 600}
    ways = {"full": {}, "lora": {"adapt": "lora:rank=4", "learning_rate": 0.005}}
    for name, settings in ways.items():
        run = genloom.train("diffusion/ddpm", things, out=tmp_path / name, **asked, **settings)
        model = genloom.load(run)
        distances[name] = judge(model, dataset)[0]
        variables = variable_names(model).values()
        if name == "lora":
            variables = [variable for adapter in adapters(model).values() for variable in adapter.variables]
        trained = sum(int(np.prod(variable.shape)) for variable in variables)
        print(f"\n{name}: {distances[name]:.3f}, {trained:,} parameters trained")
    print(f"base: {distances['base']:.3f}")
    gains = {name: distances["base"] - distances[name] for name in ways}
    assert gains["lora"] >= 0.9 * gains["full"]
    assert distances["lora"] < 0.58  # half of what marginals have
