"""The peer of diffusion: diffusers' UNet2DModel with the training loop of its examples, and its DDIMPipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, UNet2DModel
from peers.by_hand_torch import adam, keras_epsilon
from tasks import BETAS, DDIM_STEPS, TIMES, UNET2D_CHANNELS, UNET2D_GROUPS, UNET2D_HEAD, Task
from torch.nn import functional as F
from windows import Windows, step_by_step

NAMES = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}
SCHEDULE = {"num_train_timesteps": TIMES, "beta_start": float(BETAS[0]), "beta_end": float(BETAS[-1])}


def network(task: Task, weights: Path) -> UNet2DModel:
    """Return the network with the weights in `weights`."""
    model = UNet2DModel(
        sample_size=task.shape[0],
        block_out_channels=UNET2D_CHANNELS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=UNET2D_GROUPS,
        attention_head_dim=UNET2D_HEAD,
    )
    state = {}
    for name, value in np.load(weights).items():
        *path, last = name.removeprefix("network/").split("/")
        if path:
            order = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[value.ndim]
            state[".".join([*path, NAMES[last]])] = torch.from_numpy(value.transpose(order).copy())
    model.load_state_dict(state)
    return model


def train(task: Task, weights: Path, windows: Windows) -> None:
    """Run the arm of training steps."""
    step_by_step(start, task, weights, windows)


def start(task: Task, weights: Path) -> tuple[Callable[[dict[str, Any]], None], Callable[[], dict[str, float]]]:
    """Return step(batch) from the first weights, and a function that reads the last loss."""
    model, schedule = network(task, weights), DDPMScheduler(**SCHEDULE)
    optimizer = adam(dict(model.named_parameters()))
    carry: dict[str, Any] = {}

    def step(batch: dict[str, Any]) -> None:
        x = torch.from_numpy(batch["x"]).permute(0, 3, 1, 2).contiguous()
        noise = torch.from_numpy(batch["noise"]).permute(0, 3, 1, 2) if "noise" in batch else torch.randn(x.shape)
        u = torch.from_numpy(batch["t"]) if "t" in batch else torch.rand(len(x))
        t = (u * TIMES).long()
        predicted = model(schedule.add_noise(x, noise.contiguous(), t), t).sample
        loss = F.mse_loss(predicted, noise)
        loss.backward()
        keras_epsilon(optimizer)
        optimizer.step()
        optimizer.zero_grad()
        carry["loss"] = loss.detach()

    return step, lambda: {"loss": float(carry["loss"])}


def sample(task: Task, weights: Path, windows: Windows) -> None:
    """Show the first picture of the same first noise, then draw `task.batch` pictures a unit."""
    schedule = DDIMScheduler(**SCHEDULE, clip_sample=False)
    pipeline = DDIMPipeline(network(task, weights), schedule)
    pipeline.set_progress_bar_config(disable=True)
    windows.show({"picture": _from(pipeline, np.load(weights)["noise"])})
    pipeline(batch_size=task.batch, num_inference_steps=DDIM_STEPS, output_type="np")
    for count in windows:
        for _ in range(count):
            pipeline(batch_size=task.batch, num_inference_steps=DDIM_STEPS, output_type="np")


@torch.no_grad()
def _from(pipeline: DDIMPipeline, noise: np.ndarray) -> list[float]:
    """The pipeline's loop from given noise, without the clipping at its end."""
    x = torch.from_numpy(noise).permute(0, 3, 1, 2)
    pipeline.scheduler.set_timesteps(DDIM_STEPS)
    for t in pipeline.scheduler.timesteps:
        x = pipeline.scheduler.step(pipeline.unet(x, t).sample, t, x, eta=0.0).prev_sample
    return x[0].permute(1, 2, 0).flatten()[:256].tolist()
