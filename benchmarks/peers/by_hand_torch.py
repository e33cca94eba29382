"""The torch peer: the same networks and losses in plain torch, with torch's own Adam.

torch adds ε to the bias-corrected root and Keras to the uncorrected one, which moves weights of tiny gradients apart in
the first steps; ε / √(1 - β₂ᵗ) in torch's form is Keras's form exactly, so that the arms follow one update rule.
Pictures are channels-first throughout, which is torch's fastest layout on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tasks import ADAM, CODE, CRITIC_STEPS, FREQUENCIES, GROUP_EPSILON, GROUPS, LATENT, PENALTY, Task
from torch.nn import functional as F
from windows import Windows, step_by_step

Weights = dict[str, Any]


def adam(weights: Weights) -> torch.optim.Adam:
    """Torch's Adam as it comes."""
    betas = (ADAM["beta_1"], ADAM["beta_2"])
    return torch.optim.Adam(list(weights.values()), lr=ADAM["learning_rate"], betas=betas, eps=ADAM["epsilon"])


def mlp(w: Weights, x: Any) -> Any:
    """Two hidden layers with leaky rectifiers."""
    for i in (0, 2):
        x = F.leaky_relu(F.linear(x, w[f"{i}/kernel"], w[f"{i}/bias"]), 0.2)
    return F.linear(x, w["4/kernel"], w["4/bias"])


def critic_loss(c: Weights, g: Weights, x: Any, z: Any, e: Any) -> Any:
    """Gulrajani et al. 2017, eq. 3."""
    with torch.no_grad():
        fake = mlp(g, z)
    between = (e * x + (1 - e) * fake).requires_grad_(True)
    (slope,) = torch.autograd.grad(mlp(c, between).sum(), between, create_graph=True)
    penalty = torch.mean((torch.sqrt(torch.sum(slope * slope, dim=1) + 1e-12) - 1) ** 2)
    return mlp(c, fake).mean() - mlp(c, x).mean() + PENALTY * penalty


def keras_epsilon(optimizer: torch.optim.Optimizer, beta_2: float = ADAM["beta_2"]) -> None:
    """Set the coming step's ε so that torch's form equals Keras's."""
    for group in optimizer.param_groups:
        group["step"] = group.get("step", 0) + 1
        group["eps"] = ADAM["epsilon"] / (1 - beta_2 ** group["step"]) ** 0.5


def move(optimizer: torch.optim.Adam, loss: Any, weights: Weights) -> None:
    """One update of these weights alone."""
    values = list(weights.values())
    gradients = torch.autograd.grad(loss, values, allow_unused=True, materialize_grads=True)
    for value, gradient in zip(values, gradients, strict=True):
        value.grad = gradient
    keras_epsilon(optimizer)
    optimizer.step()


def wgan(g: Weights, c: Weights, size: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Five critic updates on fresh slices, then one of the generator."""
    for_g, for_c = adam(g), adam(c)

    def step(batch: dict[str, Any]) -> dict[str, Any]:
        loss = None
        for i in range(CRITIC_STEPS):
            part = {name: a[i * size : (i + 1) * size] for name, a in batch.items()}
            z = part["z"] if "z" in part else torch.randn(size, LATENT)
            e = part["e"] if "e" in part else torch.rand(size, 1)
            loss = critic_loss(c, g, part["x"], z, e)
            move(for_c, loss, c)
        z = batch["z"][:size] if "z" in batch else torch.randn(size, LATENT)
        g_loss = -mlp(c, mlp(g, z)).mean()
        move(for_g, g_loss, g)
        return {"critic_loss": loss.detach(), "generator_loss": g_loss.detach()}

    return step


def vae(w: Weights) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """One update of the negative bound of Kingma and Welling 2014, with Bernoulli pixels."""
    optimizer = adam(w)

    def step(batch: dict[str, Any]) -> dict[str, Any]:
        x = batch["x"]
        noise = batch["noise"] if "noise" in batch else torch.randn(x.shape[0], CODE)
        h = F.relu(F.linear(x, w["encoder/0/kernel"], w["encoder/0/bias"]))
        mean, log_variance = F.linear(h, w["encoder/1/kernel"], w["encoder/1/bias"]).chunk(2, dim=-1)
        z = mean + torch.exp(0.5 * log_variance) * noise
        h = F.relu(F.linear(z, w["decoder/0/kernel"], w["decoder/0/bias"]))
        logits = F.linear(h, w["decoder/1/kernel"], w["decoder/1/bias"])
        distance = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=-1)
        kl = 0.5 * torch.sum(torch.exp(log_variance) + mean**2 - 1 - log_variance, dim=-1)
        loss = torch.mean(distance + kl)
        move(optimizer, loss, w)
        return {"loss": loss.detach()}

    return step


def conv(w: Weights, name: str, x: Any) -> Any:
    """A convolution that keeps the size."""
    kernel = w[f"{name}/kernel"]
    return F.conv2d(x, kernel, w[f"{name}/bias"], padding=kernel.shape[-1] // 2)


def shrink(w: Weights, x: Any) -> Any:
    """Halve the sides; Keras pads an even side below and on the right."""
    return F.conv2d(F.pad(x, (0, 1, 0, 1)), w["shrink/kernel"], w["shrink/bias"], stride=2)


def norm(w: Weights, name: str, x: Any) -> Any:
    """Group normalisation."""
    return F.group_norm(x, GROUPS, w[f"{name}/gamma"], w[f"{name}/beta"], GROUP_EPSILON)


def block(w: Weights, name: str, x: Any, t: Any) -> Any:
    """A residual block under a time."""
    h = conv(w, f"{name}/conv1", F.silu(norm(w, f"{name}/norm1", x)))
    h = h + F.linear(t, w[f"{name}/time/kernel"], w[f"{name}/time/bias"])[:, :, None, None]
    return conv(w, f"{name}/conv2", F.silu(norm(w, f"{name}/norm2", h))) + conv(w, f"{name}/skip", x)


def unet(w: Weights, x: Any, t: Any) -> Any:
    """The U-Net."""
    first = block(w, "first", conv(w, "stem", x), t)
    low = F.interpolate(block(w, "low", shrink(w, first), t), scale_factor=2)
    return conv(w, "head", block(w, "last", torch.cat([low, first], dim=1), t))


def diffusion(w: Weights) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """One update of the denoiser."""
    optimizer, frequencies = adam(w), torch.from_numpy(FREQUENCIES)

    def step(batch: dict[str, Any]) -> dict[str, Any]:
        x = batch["x"].permute(0, 3, 1, 2)
        noise = batch["noise"].permute(0, 3, 1, 2) if "noise" in batch else torch.randn(x.shape)
        t = batch["t"] if "t" in batch else torch.rand(x.shape[0])
        angle = t[:, None] * frequencies
        s = (np.pi / 2) * t[:, None, None, None]
        noisy = (torch.cos(s) * x + torch.sin(s) * noise).contiguous()
        predicted = unet(w, noisy, torch.cat([torch.sin(angle), torch.cos(angle)], dim=1))
        loss = torch.mean((predicted - noise) ** 2)
        move(optimizer, loss, w)
        return {"loss": loss.detach()}

    return step


def own_layout(value: np.ndarray) -> torch.Tensor:
    """Turn Keras's kernels (in, out) and (height, width, in, out) into torch's."""
    order = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[value.ndim]
    return torch.from_numpy(value.transpose(order).copy()).requires_grad_(True)


def run(task: Task, weights: Path, windows: Windows) -> None:
    """Run the arm."""
    step_by_step(start, task, weights, windows)


def start(task: Task, weights: Path) -> tuple[Callable[[dict[str, Any]], None], Callable[[], dict[str, float]]]:
    """Return step(batch) from the first weights in `weights`, and a function that reads the last losses."""
    loaded = {name: own_layout(value) for name, value in np.load(weights).items()}
    if task.name == "wgan-gp":
        g, c = ({n.removeprefix(p): v for n, v in loaded.items() if n.startswith(p)} for p in ("generator/", "critic/"))
        run = wgan(g, c, task.batch)
    elif task.name == "vae":
        run = vae(loaded)
    else:
        run = diffusion({n.removeprefix("network/"): v for n, v in loaded.items()})
    carry: dict[str, Any] = {}

    def step(batch: dict[str, Any]) -> None:
        carry["losses"] = run({name: torch.from_numpy(a) for name, a in batch.items()})

    return step, lambda: {name: float(value) for name, value in carry["losses"].items()}
