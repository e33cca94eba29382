"""The torch peer of the diffusion transformer: the same network and loss in plain torch, with torch's own Adam."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers.by_hand_torch import Weights, adam, move, own_layout
from tasks import DIT, DIT_EPSILON, Task, frequencies, patches_in, places
from torch.nn import functional as F
from windows import Windows, step_by_step


def dense(w: Weights, name: str, x: Any) -> Any:
    """A dense layer."""
    return F.linear(x, w[f"{name}/kernel"], w[f"{name}/bias"])


def modulated(x: Any, shift: Any, scale: Any) -> Any:
    """A norm without weights of its own, scaled and shifted."""
    return F.layer_norm(x, x.shape[-1:], eps=DIT_EPSILON) * (1 + scale) + shift


def block(w: Weights, name: str, x: Any, e: Any) -> Any:
    """Attention and a network, gated."""
    n, p, width = x.shape
    shift, scale, gate, shift2, scale2, gate2 = dense(w, f"{name}/modulation", e)[:, None].chunk(6, dim=-1)
    parts = dense(w, f"{name}/query_key_value", modulated(x, shift, scale)).reshape(n, p, 3, DIT["heads"], -1)
    mixed = F.scaled_dot_product_attention(*parts.permute(2, 0, 3, 1, 4)).transpose(1, 2).reshape(n, p, width)
    x = x + gate * dense(w, f"{name}/mix", mixed)
    hidden = F.gelu(dense(w, f"{name}/up", modulated(x, shift2, scale2)), approximate="tanh")
    return x + gate2 * dense(w, f"{name}/down", hidden)


def network(w: Weights, x: Any, t: Any) -> Any:
    """The transformer."""
    width, split, back = w["stem/bias"].shape[0], *patches_in(tuple(x.shape))
    angle = t[:, None] * torch.from_numpy(frequencies(width))
    e = torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
    e = F.silu(dense(w, "embedding/second", F.silu(dense(w, "embedding/first", e))))
    y = x.reshape(split).permute(0, 1, 3, 2, 4, 5).reshape(x.shape[0], split[1] * split[3], -1)
    y = dense(w, "stem", y) + torch.from_numpy(places(split[1], width))
    for i in range(DIT["depth"]):
        y = block(w, f"blocks/{i}", y, e)
    y = dense(w, "head", modulated(y, *dense(w, "modulation", e)[:, None].chunk(2, dim=-1)))
    return y.reshape(back).permute(0, 1, 3, 2, 4, 5).reshape(x.shape)


def denoiser(w: Weights) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """One update of the denoiser."""
    optimizer = adam(w)

    def update(batch: dict[str, Any]) -> dict[str, Any]:
        x = batch["x"]
        noise = batch["noise"] if "noise" in batch else torch.randn(x.shape)
        t = batch["t"] if "t" in batch else torch.rand(x.shape[0])
        s = (np.pi / 2) * t[:, None, None, None]
        loss = torch.mean((network(w, torch.cos(s) * x + torch.sin(s) * noise, t) - noise) ** 2)
        move(optimizer, loss, w)
        return {"loss": loss.detach()}

    return update


def run(task: Task, weights: Path, windows: Windows) -> None:
    """Run the arm."""
    step_by_step(start, task, weights, windows)


def start(task: Task, weights: Path) -> tuple[Callable[[dict[str, Any]], None], Callable[[], dict[str, float]]]:
    """Return step(batch) from the first weights in `weights`, and a function that reads the last losses."""
    update = denoiser({n.removeprefix("network/"): own_layout(value) for n, value in np.load(weights).items()})
    carry: dict[str, Any] = {}

    def step(batch: dict[str, Any]) -> None:
        carry["losses"] = update({name: torch.from_numpy(a) for name, a in batch.items()})

    return step, lambda: {name: float(value) for name, value in carry["losses"].items()}
