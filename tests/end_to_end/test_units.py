"""Columns of mean 25,229 and deviation 13,300: every family learns them, and draws in their units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom

MEAN, DEVIATION = np.array([25_229.0, -40.0]), np.array([13_300.0, 0.3])
TINY = {"sample_every": 0, "progress": "none", "batch_size": 64}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("units") / "columns.npz"
    np.savez(path, x=MEAN + DEVIATION * np.random.default_rng(0).normal(size=(1024, 2)))
    return f"npz:{path}"


@pytest.mark.parametrize(
    ("model", "options", "steps"),
    [
        ("vae/mlp", {"latent": 2, "hidden": (32,), "observation_noise": 1.0, "learning_rate": 5e-3}, 200),
        ("gan/mlp", {"latent": 4, "hidden": (32, 32), "learning_rate": 1e-3}, 400),
        ("diffusion/ddpm", {"width": 64, "depth": 2, "learning_rate": 3e-3, "steps": 20}, 400),
    ],
)
def test_samples_come_back_in_the_units_of_the_data(
    address: str, model: str, options: dict[str, Any], steps: int, tmp_path: Path
) -> None:
    run = genloom.train(model, address, options=options, steps=steps, out=tmp_path / "run", **TINY)
    drawn = genloom.sample(run, 512, seed=1).samples.astype(np.float64)
    # 512 samples have a standard error of 0.044 deviations; short trainings of three seeds are off by 0.10 at most.
    np.testing.assert_allclose((drawn.mean(axis=0) - MEAN) / DEVIATION, 0.0, atol=0.15)
    np.testing.assert_allclose(drawn.std(axis=0) / DEVIATION, 1.0, atol=0.2)
    again = genloom.load(run)
    assert again.spec.scale == genloom.data.open(address).spec.scale


@pytest.mark.parametrize("model", ["gan/dcgan", "gan/wgan-gp", "vae/conv", "diffusion/ddpm"])
def test_pictures_without_a_range_have_no_bound(model: str) -> None:
    """Nothing squashes what is drawn: with a last bias of 9 it is many deviations from the mean."""
    spec = genloom.DataSpec((8, 8, 1), value_range=None, mean=(1000.0,), scale=(10.0,))
    built = genloom.create(model, spec, channels=(8,), compile=False)
    last = [v for v in built.variables if v.path.endswith("bias") and tuple(v.shape) == (1,)]
    for variable in last:
        variable.assign([9.0])
    drawn = genloom.sample(built, 2).samples
    assert np.abs(drawn - 1000.0).min() > 50.0


def test_a_bernoulli_needs_a_range() -> None:
    spec = genloom.DataSpec((4,), "signal", value_range=None)
    with pytest.raises(genloom.errors.ConfigError, match="likelihood=bernoulli needs data with a value range"):
        genloom.create("vae/mlp", spec, likelihood="bernoulli")


def test_scores_do_not_depend_on_the_units_of_a_column(address: str, tmp_path: Path) -> None:
    from genloom.data.samples import Samples
    from genloom.evaluation.evaluate import scores

    x = (np.random.default_rng(1).normal(size=(102, 2)) + 0.5).astype(np.float32)
    found = []
    for mean, deviation in ((MEAN, DEVIATION), (np.zeros(2), np.ones(2))):
        plain = (np.load(address.partition(":")[2])["x"] - MEAN) / DEVIATION
        np.savez(tmp_path / "units.npz", x=mean + deviation * plain)
        dataset = genloom.data.open(f"npz:{tmp_path / 'units.npz'}")
        drawn = Samples((mean + deviation * x).astype(np.float32), dataset.spec)
        found.append([result.value for result in scores(None, drawn, dataset)])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-4)
