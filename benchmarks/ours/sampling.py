"""Our arm of DDIM: the diffusion plugin's sampler with diffusers' network and its noise schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from ours.unet2d import UNet2D, times_of
from tasks import BETAS, DDIM_STEPS, TIMES, Task
from windows import Windows

from genloom import DataSpec, random
from genloom.model.naming import variable_names
from genloom.sampling.drawing import draw_samples
from genloom_diffusion.model import Diffusion
from genloom_diffusion.samplers import prior

SEED = 0


class Thousand:
    """The process of Ho et al. 2020 at the times that diffusers' DDIMScheduler visits in DDIM_STEPS steps."""

    prior_deviation = 1.0
    stride = TIMES // DDIM_STEPS

    def __init__(self) -> None:
        self.kept = np.concatenate([[1.0], np.cumprod(1.0 - BETAS)[:: self.stride]])

    def _at(self, t: Any, table: np.ndarray) -> Any:
        return ops.take(ops.convert_to_tensor(table.astype("float32")), ops.cast(ops.round(t * DDIM_STEPS), "int32"))

    def alpha(self, t: Any) -> Any:
        """Return the signal's scale; 1 at t = 0."""
        return self._at(t, np.sqrt(self.kept))

    def sigma(self, t: Any) -> Any:
        """Return the noise's deviation; 0 at t = 0."""
        return self._at(t, np.sqrt(1.0 - self.kept))

    def time(self, u: Any) -> Any:
        """Return u."""
        return u

    def position(self, t: Any) -> Any:
        """Return the time of a thousand as a share."""
        return t - self.stride / TIMES


class AtTimes(keras.layers.Layer):
    """The network at positions in [0, 1]."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.network = network

    def call(self, x: Any, t: Any) -> Any:
        """X (n, h, w, c) and positions t (n, 1) -> the noise in x."""
        return self.network(x, times_of(t[:, 0]))


def run(task: Task, weights: Path, windows: Windows) -> None:
    """Write weights and first noise, show the first picture, then draw `task.batch` pictures a unit."""
    network = UNet2D(task.shape)
    x, t = keras.Input(task.shape), keras.Input((1,))
    denoiser = keras.Model([x, t], AtTimes(network)(x, t))
    spec = DataSpec(task.shape, value_range=None)
    model = Diffusion(spec, denoiser=denoiser, target="noise", sampler="ddim", steps=DDIM_STEPS, eta=0.0, clip=False)
    model.process = Thousand()
    noise = prior(model.process, random.keys(SEED, task.batch, 0), spec.shape)
    arrays = {f"network/{name}": v.value for name, v in variable_names(network).items()} | {"noise": noise}
    np.savez(weights, **{name: ops.convert_to_numpy(value) for name, value in arrays.items()})
    first = draw_samples(model, task.batch, SEED).samples[0]
    windows.show({"picture": first.ravel()[:256].tolist()})
    draw_samples(model, task.batch, SEED)
    for count in windows:
        for seed in range(count):
            draw_samples(model, task.batch, seed)
