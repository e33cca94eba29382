"""What is timed: sizes, data and noise, the same for every arm.

`Task.batches` yields dicts of NumPy arrays. With `fixed_noise` they also hold the noise of the step, so that two arms
can be shown to compute the same losses before they are timed on noise of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

ADAM = {"learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-7}


@dataclasses.dataclass(frozen=True)
class Task:
    """One benchmark.

    Attributes:
        name: of its networks and losses.
        batch: samples per update.
        shape: of one sample.
        window: steps (epochs, draws) that are timed together.
        slices: batches that one step takes.
        width: channels of the U-Nets, size of a patch's token, or tokens that the transformers know.
        samples: of a whole training.
        quick: whether the numbers do not matter.
    """

    name: str
    batch: int
    shape: tuple[int, ...]
    window: int
    slices: int = 1
    width: int = 0
    samples: int = 0
    quick: bool = False

    def batches(self, fixed_noise: bool) -> Iterator[dict[str, np.ndarray]]:
        """Endless batches of batch × slices rows, from a fixed seed, prepared outside the timing."""
        rng = np.random.default_rng(0)
        rows = self.batch * self.slices
        ready = [self._samples(rows, rng) for _ in range(8)]
        step = 0
        while True:
            batch = {"x": ready[step % 8]}
            if fixed_noise:
                batch |= self._noise(rows, np.random.default_rng(step + 1))
            yield batch
            step += 1

    def _samples(self, rows: int, rng: np.random.Generator) -> np.ndarray:
        if self.name == "language-train":
            return rng.integers(0, VOCABULARY, (rows, *self.shape)).astype("int32")
        if self.name in ("vae", "pythae"):
            return rng.random((rows, *self.shape)).astype("float32")
        return rng.standard_normal((rows, *self.shape)).astype("float32") * 0.5

    def _noise(self, rows: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        if self.name == "language-train":
            return {}
        if self.name == "wgan-gp":
            z = rng.standard_normal((rows, LATENT)).astype("float32")
            return {"z": z, "e": rng.random((rows, 1)).astype("float32")}
        if self.name in ("vae", "pythae"):
            return {"noise": rng.standard_normal((rows, CODE)).astype("float32")}
        noise = rng.standard_normal((rows, *self.shape)).astype("float32")
        return {"noise": noise, "t": rng.random(rows).astype("float32")}


PIXELS = 784
CODE, VAE_HIDDEN, PYTHAE_HIDDEN = 20, 400, 512
LATENT, HIDDEN, CRITIC_STEPS, PENALTY = 64, 256, 5, 10.0
EMBEDDING, GROUPS, GROUP_EPSILON = 64, 4, 1e-5
FREQUENCIES = np.exp(np.linspace(0.0, np.log(1000.0), EMBEDDING // 2)).astype("float32")
# A diffusion transformer (Peebles and Xie 2023) on 64 patches of pictures of 32 × 32.
DIT, DIT_EPSILON = {"depth": 4, "heads": 4, "patch": 4}, 1e-6
# The diffusion of Ho et al. 2020, section 4, and a U-Net that diffusers' UNet2DModel and ours are both built as.
TIMES = 1000
BETAS = np.linspace(1e-4, 0.02, TIMES, dtype="float64")
UNET2D_CHANNELS, UNET2D_GROUPS, UNET2D_HEAD = (32, 64), 8, 8
DDIM_STEPS = 50
# nanoGPT's CPU configuration: its shape, batch and optimizer.
VOCABULARY = 65
NANO = {"layers": 4, "heads": 4, "width": 128}
NANO_ADAMW = {"learning_rate": 1e-3, "weight_decay": 0.1, "beta_1": 0.9, "beta_2": 0.99, "clip": 1.0}
# nanoGPT's shape for a GPU, which generates from a prompt of so many tokens.
GPT, PROMPT = {"layers": 6, "heads": 6, "width": 384}, 8
PUBLISHED = "gpt2"  # folder of its weights, beside the file of the others'


def frequencies(width: int) -> np.ndarray:
    """Return the angular frequencies (width / 4,) by which the diffusion transformer is told a time."""
    return np.exp(np.linspace(0.0, np.log(1000.0), width // 4)).astype("float32")


def places(count: int, width: int) -> np.ndarray:
    """Return what it adds to the tokens of a square of count × count patches (count², width)."""
    angles = np.arange(count)[:, None] * 10_000.0 ** -(np.arange(width // 4) / (width // 4))
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return np.concatenate([np.repeat(waves, count, 0), np.tile(waves, (count, 1))], axis=1).astype("float32")


def patches_in(shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return pictures' shape with each side as patches × their side, and that of patches row by row."""
    n, height, width, channels = shape
    patch = DIT["patch"]
    rows, columns = height // patch, width // patch
    return (n, rows, patch, columns, patch, channels), (n, rows, columns, patch, patch, channels)


def task(name: str, quick: bool) -> Task:
    """Return a task by name; the quick form times less, on smaller pictures."""
    side = 16 if quick else 32
    picture = (side, side, 3)
    chosen = {
        "vae": Task("vae", 128, (PIXELS,), 20 if quick else 300),
        "wgan-gp": Task("wgan-gp", 64, (PIXELS,), 10 if quick else 50, slices=CRITIC_STEPS),
        "unet": Task("unet", 16 if quick else 64, picture, 1 if quick else 2, width=44),
        "unet-3m": Task("unet-3m", 2 if quick else 8, picture, 1 if quick else 2, width=140),
        "dit": Task("dit", 8 if quick else 64, picture, 1 if quick else 2, width=128),
        "diffusers-unet": Task("diffusers-unet", 4 if quick else 16, picture, 1 if quick else 4),
        "ddim": Task("ddim", 2 if quick else 16, picture, 1),
        "pythae": Task("pythae", 128, (PIXELS,), 1, samples=1280 if quick else 12_800),
        "language-train": Task("language-train", 2 if quick else 12, (17 if quick else 65,), 5 if quick else 20),
        "multi-step": Task("multi-step", 32, (2,), 320 if quick else 1600),
        # As many as MNIST has: an epoch of the length that people know.
        "run": Task("run", 128, (28, 28, 1), 1, samples=1280 if quick else 60_000),
        # One text until the context is full, from GPT-2's vocabulary; without a cache that would measure the readout.
        "language-generate": Task("language-generate", 1, (16 if quick else 256,), 1, width=64 if quick else 50_257),
        "language-cache": Task("language-cache", 1, (16 if quick else 256,), 1, width=64),
    }[name]
    return dataclasses.replace(chosen, quick=quick)


def random_pictures(task: Task) -> np.ndarray:
    """Return the pictures of a whole training; what they show does not matter to the time."""
    return np.random.default_rng(0).random((task.samples, *task.shape), "float32")
