"""What a bar says while no step runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from genloom.training.callbacks.progress import Progress

pytestmark = pytest.mark.any_engine


def test_a_bar_says_what_it_waits_for_before_its_first_step() -> None:
    plan = SimpleNamespace(total_steps=20, epochs=2, epoch_of=lambda step: step // 10)
    session: Any = SimpleNamespace(settings=SimpleNamespace(progress="bar"), plan=plan, step=0)
    progress = Progress(session)
    progress.on_train_begin()
    try:
        assert [task.description for task in progress.bar.tasks] == ["preparing the first step …"]
        session.step = 1
        progress.on_train_batch_end(0, {"loss": 0.5})
        assert [task.description for task in progress.bar.tasks] == ["epoch 1/2  loss 0.5"]
    finally:
        progress.close()
