"""What is timed: sizes, data, noise and starting weights, the same for every arm.

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
    """One benchmark: its name, batch size, slices per step and the shapes of its noise."""

    name: str
    batch: int
    slices: int
    shape: tuple[int, ...]
    steps: int

    def batches(self, fixed_noise: bool) -> Iterator[dict[str, np.ndarray]]:
        """Endless batches of batch × slices rows, from a fixed seed, prepared outside the timing."""
        rng = np.random.default_rng(0)
        rows = self.batch * self.slices
        ready = [rng.standard_normal((rows, *self.shape)).astype("float32") * 0.5 for _ in range(8)]
        step = 0
        while True:
            batch = {"x": ready[step % 8]}
            if fixed_noise:
                batch |= self._noise(rows, np.random.default_rng(step + 1))
            yield batch
            step += 1

    def _noise(self, rows: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        if self.name == "wgan-gp":
            z = rng.standard_normal((rows, LATENT)).astype("float32")
            return {"z": z, "e": rng.random((rows, 1)).astype("float32")}
        noise = rng.standard_normal((rows, *self.shape)).astype("float32")
        return {"noise": noise, "t": rng.random(rows).astype("float32")}


LATENT, HIDDEN, PIXELS, CRITIC_STEPS, PENALTY = 64, 256, 784, 5, 10.0
WIDTH, EMBEDDING, GROUPS, GROUP_EPSILON = 44, 64, 4, 1e-5
FREQUENCIES = np.exp(np.linspace(0.0, np.log(1000.0), EMBEDDING // 2)).astype("float32")


def task(name: str, quick: bool) -> Task:
    """Return a task by name; the quick form times fewer steps on smaller pictures."""
    if name == "wgan-gp":
        return Task(name, 64, CRITIC_STEPS, (PIXELS,), 20 if quick else 150)
    side = 16 if quick else 32
    return Task(name, 16 if quick else 64, 1, (side, side, 3), 3 if quick else 10)
