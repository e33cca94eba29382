"""The torch peer of a language model: the decoder of GPT-2 as plain modules, fused attention, AdamW and clipping.

One matrix makes queries, keys and values, as such loops have it; AdamW is torch's own. It adds ε to the bias-corrected
root and Keras to the uncorrected one: see `by_hand_torch`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers.by_hand_torch import keras_epsilon
from tasks import ADAM, NANO, NANO_ADAMW, Task
from torch import nn
from torch.nn import functional as F
from windows import Windows, step_by_step


class Block(nn.Module):
    """x + attention(norm(x)), then x + network(norm(x))."""

    def __init__(self) -> None:
        super().__init__()
        width = NANO["width"]
        self.first, self.second = (nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.mix = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Any) -> Any:
        """Mix each token with those before it."""
        n, t, width = x.shape
        shape = (n, t, NANO["heads"], width // NANO["heads"])
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.qkv(self.first(x)).split(width, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mix(mixed.transpose(1, 2).reshape(n, t, width))
        return x + self.down(F.gelu(self.up(self.second(x)), approximate="tanh"))


class Decoder(nn.Module):
    """Tokens to logits of the next ones; the output is the embedding's transpose."""

    def __init__(self, weights: dict[str, Any]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(*weights["embedding/embeddings"].shape)
        self.position_embedding = nn.Embedding(*weights["position_embedding/embeddings"].shape)
        self.blocks = nn.ModuleList(Block() for _ in range(NANO["layers"]))
        self.norm = nn.LayerNorm(NANO["width"], bias=False)
        with torch.no_grad():
            self.embedding.weight.copy_(weights["embedding/embeddings"])
            self.position_embedding.weight.copy_(weights["position_embedding/embeddings"])
            self.norm.weight.copy_(weights["norm/scale"])
            for i, block in enumerate(self.blocks):
                w = {name.removeprefix(f"blocks/{i}/"): value for name, value in weights.items()}
                block.first.weight.copy_(w["attention_norm/scale"])
                block.second.weight.copy_(w["network_norm/scale"])
                block.qkv.weight.copy_(torch.cat([w[f"{part}/kernel"].T for part in ("query", "key", "value")]))
                for part in ("mix", "up", "down"):
                    getattr(block, part).weight.copy_(w[f"{part}/kernel"].T)

    def forward(self, tokens: Any) -> Any:
        """Return logits (n, t, vocabulary)."""
        hidden = self.embedding(tokens) + self.position_embedding(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            hidden = block(hidden)
        return F.linear(self.norm(hidden), self.embedding.weight)


def run(task: Task, weights: Path, windows: Windows) -> None:
    """Run the arm."""
    step_by_step(start, task, weights, windows)


def start(task: Task, weights: Path) -> tuple[Callable[[dict[str, Any]], None], Callable[[], dict[str, float]]]:
    """Return step(batch) from the first weights in `weights`, and a function that reads the last losses."""
    model = Decoder({name: torch.from_numpy(value) for name, value in np.load(weights).items()})
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": NANO_ADAMW["weight_decay"]},
        {"params": vectors, "weight_decay": 0.0},
    ]
    betas = (NANO_ADAMW["beta_1"], NANO_ADAMW["beta_2"])
    optimizer = torch.optim.AdamW(groups, lr=NANO_ADAMW["learning_rate"], betas=betas, eps=ADAM["epsilon"])
    carry: dict[str, Any] = {}

    def step(batch: dict[str, Any]) -> None:
        tokens = torch.from_numpy(batch["x"]).long()
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), NANO_ADAMW["clip"])
        keras_epsilon(optimizer, NANO_ADAMW["beta_2"])
        optimizer.step()
        carry["losses"] = {"loss": loss.detach(), "nats_per_char": loss.detach()}

    return step, lambda: {name: float(value) for name, value in carry["losses"].items()}
