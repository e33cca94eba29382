"""Latent diffusion over the VAE family's autoencoder, which it knows by its run alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import ops

import genloom

QUIET: dict[str, Any] = {"sample_every": 0, "progress": "none", "validation": 0.0}
SMALL: dict[str, Any] = {"channels": (8,), "critic_channels": (8,), "latent": 2, "critic_start": 2}


def array(x: Any) -> np.ndarray[Any, Any]:
    return np.asarray(ops.convert_to_numpy(x))


def test_what_it_encodes_and_decodes_is_the_autoencoders(tmp_path: Path) -> None:
    """A latent with places, on a scale of its own: what is noised has mean 0 and deviation 1."""
    codes = genloom.train("vae/autoencoder", "digits", options=SMALL, steps=6, out=tmp_path / "codes", **QUIET)
    options = {"autoencoder": str(codes.path), "channels": (8,), "blocks": 1, "embedding": 8, "steps": 2}
    run = genloom.train("diffusion/latent", "digits", options=options, steps=6, out=tmp_path / "run", **QUIET)
    model, autoencoder = genloom.load(run), genloom.load(codes)
    x = genloom.data.open("digits").train.take(np.arange(256))["x"]
    z = array(model.encode(x))
    assert z.shape == (256, 4, 4, 2)
    np.testing.assert_allclose(z.mean(axis=(0, 1, 2)), 0.0, atol=0.1)
    np.testing.assert_allclose(z.std(axis=(0, 1, 2)), 1.0, atol=0.1)
    again = array(autoencoder.decode(autoencoder.encode(x)))
    np.testing.assert_allclose(array(model.decode(z)), again, atol=1e-5)
    drawn = genloom.sample(run, 4, seed=1, condition={"label": 3})
    assert np.array_equal(drawn.labels, [3] * 4)
    assert np.ptp(drawn.samples) > 0.0


@pytest.mark.quality
def test_digits_through_codes(tmp_path: Path) -> None:
    """Measured: see the README of the plugin `diffusion`; marginals have a distance of .880."""
    codes = genloom.train("vae/autoencoder", "digits", preset="tiny", seed=1, out=tmp_path / "codes", **QUIET)
    asked = {"options": {"autoencoder": str(codes.path)}, "seed": 1, **QUIET}
    run = genloom.train("diffusion/latent", "digits", preset="tiny", out=tmp_path / "run", **asked)
    results = genloom.evaluate(run, ["fd[pca20]", "coverage"])["results"]
    found = {entry["name"]: entry["value"] for entry in results}
    assert found["fd[pca20]"] < 0.2
    assert found["coverage"] > 0.9
