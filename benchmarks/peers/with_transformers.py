"""The peer of generation: Hugging Face's GPT-2 with its own cache, greedy."""

from __future__ import annotations

from pathlib import Path

import torch
from tasks import PROMPT, PUBLISHED, Task
from transformers import GPT2LMHeadModel
from windows import Windows


def generate(task: Task, weights: Path, windows: Windows) -> None:
    """Show the tokens that follow the prompt in the model that our arm published, then draw them again."""
    model = GPT2LMHeadModel.from_pretrained(weights.with_name(PUBLISHED)).eval()
    model.generation_config.eos_token_id = None  # a text as long as ours
    prompt = torch.arange(PROMPT)[None].repeat(task.batch, 1)
    options = {"max_new_tokens": task.shape[0] - PROMPT, "do_sample": False, "pad_token_id": 0}

    def drawn() -> torch.Tensor:
        return model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)

    windows.show({"tokens": drawn()[0].float().tolist()})
    drawn()
    for count in windows:
        for _ in range(count):
            drawn()
