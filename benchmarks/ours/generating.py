"""Our arms of generation: a transformer goes on with a prompt of eight tokens, greedily, until its context is full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tasks import GPT, PROMPT, PUBLISHED, Task
from windows import Windows

import genloom
from genloom import DataSpec
from genloom.sampling.drawing import draw_samples
from genloom_language.published import publish


def with_cache(task: Task, weights: Path, windows: Windows) -> None:
    """Keys and values of earlier tokens are kept."""
    _run(task, weights, windows, cache=True)


def without_cache(task: Task, weights: Path, windows: Windows) -> None:
    """All tokens are computed again for each that follows."""
    _run(task, weights, windows, cache=False)


def _run(task: Task, weights: Path, windows: Windows, cache: bool) -> None:
    context, new = task.shape[0], task.shape[0] - PROMPT
    spec = DataSpec((context + 1,), kind="text", dtype="int32", value_range=None, vocabulary=task.width)
    model: Any = genloom.create("language/transformer", spec, seed=1, bias=True, **GPT)
    if cache:
        publish(model, weights.with_name(PUBLISHED))
    prompt = np.zeros((task.batch, context + 1), np.int32)
    prompt[:, :PROMPT] = np.arange(PROMPT)
    condition = {"tokens": prompt, "given": np.full(task.batch, PROMPT, np.int32)}
    options = {"temperature": 0.0, "max_tokens": new, "cache": cache}

    def drawn() -> np.ndarray:
        return draw_samples(model, task.batch, 0, condition, options=options).samples

    windows.show({"tokens": [float(token) for token in drawn()[0, :context]]})
    drawn()
    for count in windows:
        for _ in range(count):
            drawn()
