"""A variational autoencoder of your own networks on 8×8 digits, on any engine.

Run: `KERAS_BACKEND=jax python examples/digits_vae.py` (torch and tensorflow too). `--quick` is a short form.
Measured on JAX and two busy CPU cores: 53 s, fd[pca20] 0.167 (floor 0.070, mixture 0.127, marginals 0.880).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import keras
from keras import layers

import genloom

QUICK = "--quick" in sys.argv or os.environ.get("GENLOOM_EXAMPLES") == "short"
EPOCHS, EVERY = (2, 1) if QUICK else (60, 10)
LATENT, OUT = 8, Path(os.environ.get("OUT", "runs/example-vae"))


def encoder(spec: genloom.DataSpec) -> keras.Model:
    """Pictures and one-hot labels to the mean and log-variance of q(z|x)."""
    x, label = keras.Input(spec.shape), keras.Input((spec.classes,))
    h = layers.Concatenate()([layers.Flatten()(x), label])
    h = layers.Dense(192, "gelu")(layers.Dense(192, "gelu")(h))
    return keras.Model([x, label], layers.Dense(2 * LATENT)(h))


def decoder(spec: genloom.DataSpec) -> keras.Model:
    """Latents and one-hot labels to pictures."""
    z, label = keras.Input((LATENT,)), keras.Input((spec.classes,))
    h = layers.Dense(192, "gelu")(layers.Dense(192, "gelu")(layers.Concatenate()([z, label])))
    return keras.Model([z, label], layers.Reshape(spec.shape)(layers.Dense(spec.size)(h)))


def main() -> None:
    """Train, draw a picture every few epochs, measure."""
    # 1 load data
    digits = genloom.data.open("digits")
    # 2 prepare: the loader mixes and batches it; its spec says how values are normalised
    spec = digits.spec
    # 3 networks
    keras.utils.set_random_seed(0)
    networks = {"encoder": encoder(spec), "decoder": decoder(spec)}
    # 4 model and loss: one negative ELBO, a learned mixture as the prior
    model = genloom.create("vae/mlp", spec, networks=networks, latent=LATENT)
    # 5 optimizer (the family's own is Adam, set through the training below)
    settings = {"optimizer": "adam", "learning_rate": 2e-3, "ema": 0.99, "batch_size": 64}
    # 6 train, with a picture of samples every few epochs in OUT/samples
    run = genloom.train(model, digits, epochs=EPOCHS, sample_every=EVERY, checkpoint_every=EVERY, out=OUT, **settings)
    # 7 sample and measure
    scores = genloom.evaluate(
        run, ["fd[pca20]"], sampler=lambda n, seed: genloom.sample(model, n, seed, chunk=64), dataset=digits
    )
    score = scores["results"][0]
    print(f"fd[pca20] {score['value']:.3f}  floor {score['floor']:.3f}  opponents {score['opponents']}")


if __name__ == "__main__":
    main()
