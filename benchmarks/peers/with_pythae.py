"""The peer of VAEs: pythae's default VAE under its trainer, an epoch a window."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from tasks import ADAM, CODE, Task, random_pictures
from windows import CHECKED, Windows


class Epochs(TrainingCallback):
    """Run one epoch for each window asked for."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def on_epoch_begin(self, training_config: Any, **kwargs: Any) -> None:
        """Wait to be asked, from the second epoch on."""
        if kwargs["epoch"] > 1:
            next(self.windows)


def run(task: Task, weights: Path, windows: Windows) -> None:
    """Show the losses on fixed noise, then train."""
    logging.disable(logging.INFO)
    model = network(task, weights)
    windows.show({"loss": first_losses(model, task)})
    x = torch.from_numpy(random_pictures(task))
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1 << 40,
            learning_rate=ADAM["learning_rate"],
            per_device_train_batch_size=task.batch,
            train_dataloader_num_workers=0,
            optimizer_cls="Adam",
            no_cuda=True,
        )
        dataset = BaseDataset(data=x, labels=torch.zeros(len(x)))
        BaseTrainer(model, dataset, training_config=config, callbacks=[Epochs(windows)]).train()


def network(task: Task, weights: Path) -> VAE:
    """Return pythae's default network with the weights in `weights`."""
    model = VAE(VAEConfig(input_dim=task.shape, latent_dim=CODE))
    ours = np.load(weights)
    mean, log_variance = ({k: np.split(ours[f"encoder/1/{k}"], 2, axis=-1)[i] for k in KINDS} for i in (0, 1))
    first = {k: ours[f"encoder/0/{k}"] for k in KINDS}
    up, out = ({k: ours[f"decoder/{i}/{k}"] for k in KINDS} for i in (0, 1))
    places = {"encoder.layers.0.0": first, "encoder.embedding": mean, "encoder.log_var": log_variance}
    places |= {"decoder.layers.0.0": up, "decoder.layers.1.0": out}
    state = {f"{place}.{KINDS[k]}": torch.from_numpy(v.T.copy()) for place, w in places.items() for k, v in w.items()}
    model.load_state_dict(state)
    return model


KINDS = {"kernel": "weight", "bias": "bias"}


def first_losses(model: VAE, task: Task) -> list[float]:
    """Return the losses of the first batches on fixed noise, before any training."""
    batches, losses = task.batches(fixed_noise=True), []
    drawn = model._sample_gauss
    for _ in range(CHECKED):
        batch = {name: torch.from_numpy(value) for name, value in next(batches).items()}
        model._sample_gauss = lambda mean, deviation, e=batch["noise"]: (mean + e * deviation, e)
        losses.append(float(model({"data": batch["x"]}).loss))
    model._sample_gauss = drawn
    return losses
