"""A diffusion model of your own network on 8×8 digits, on any engine.

Run: `KERAS_BACKEND=jax python examples/digits_diffusion.py` (torch and tensorflow too). `--quick` is a short form.
Measured on JAX and two busy CPU cores: 49 s, fd[pca20] 0.196 (floor 0.070, mixture 0.127, marginals 0.880).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import keras
from keras import layers

import genloom

QUICK = "--quick" in sys.argv or os.environ.get("GENLOOM_EXAMPLES") == "short"
EPOCHS, EVERY = (2, 1) if QUICK else (150, 25)
WIDTH, OUT = 256, Path(os.environ.get("OUT", "runs/example-diffusion"))


def denoiser(spec: genloom.DataSpec) -> keras.Model:
    """A noisy picture, its time in [0, 1] and its label (one-hot; zeros mean none) to the velocity."""
    x, t, label = keras.Input(spec.shape), keras.Input((1,)), keras.Input((spec.classes,))
    clock = layers.Dense(WIDTH, "silu")(layers.Rescaling(8.0)(t))
    condition = layers.Add()([clock, layers.Dense(WIDTH)(label)])
    h = layers.Dense(WIDTH)(layers.Flatten()(x))
    for _ in range(3):
        update = layers.Dense(WIDTH, "silu")(layers.Add()([h, layers.Dense(WIDTH)(condition)]))
        h = layers.Add()([h, layers.Dense(WIDTH)(update)])
    out = layers.Dense(spec.size, kernel_initializer="zeros")(layers.LayerNormalization()(h))
    return keras.Model([x, t, label], layers.Reshape(spec.shape)(out))


def main() -> None:
    """Train, draw a picture every few epochs, measure."""
    # 1 load data
    digits = genloom.data.open("digits")
    # 2 prepare: the loader mixes and batches it; its spec says how values are normalised
    spec = digits.spec
    # 3 networks
    keras.utils.set_random_seed(0)
    networks = {"denoiser": denoiser(spec)}
    # 4 model and loss: the velocity at a uniform time of the cosine process; DDIM draws in 30 steps
    model = genloom.create("diffusion/ddpm", spec, networks=networks, steps=30)
    # 5 optimizer (the family's own is Adam, set through the training below)
    settings = {"optimizer": "adam", "learning_rate": 1e-3, "ema": 0.995, "batch_size": 64}
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
