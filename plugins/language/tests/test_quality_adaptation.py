"""What fine-tuning, remedies against forgetting and prompts reach: `nox -s quality -- plugins/language`.

Each test prints the table that stands in docs/results/language.md.
"""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest

import genloom
from genloom import continual
from genloom.naming import variable_names

QUIET: dict[str, Any] = {"validation": 0.0, "sample_every": 0, "progress": "none"}
ROTARY = {"position": "rotary"}


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of another kind of English: Python's reference manual, which every Python brings along."""
    file = tmp_path_factory.mktemp("data") / "manual.txt"
    file.write_text("\n\n".join(topics[name].strip() for name in sorted(topics)))
    return f"text:{file}?tokenizer=byte"


@pytest.fixture(scope="module")
def drama(shared_data: Path) -> str:
    return f"text:{shared_data / 'tinyshakespeare.txt'}?tokenizer=byte"


@pytest.fixture(scope="module")
def base(drama: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("base") / "base"
    return genloom.train("language/transformer", drama, preset="nano-cpu", options=ROTARY, out=out, **QUIET)


def nats(run: Any, data: str) -> float:
    from genloom.heldout import losses

    return losses(genloom.load(run), genloom.data.open(data).test)["nats_per_char"]


@pytest.mark.quality
def test_lora_gains_nine_tenths_of_what_full_fine_tuning_does(base: Any, manual: str, tmp_path: Path) -> None:
    """With less than a twentieth of the parameters, on another kind of text."""
    start = nats(base, manual)
    print(f"\nbase: {start:.3f} nats a character")
    gains = {}
    for name, asked in {
        "full": {"learning_rate": 3e-3},
        "lora": {"learning_rate": 2e-2, "adapt": "lora:rank=4,alpha=8"},
    }.items():
        run = genloom.train(
            "language/transformer",
            manual,
            preset="nano-cpu",
            options=ROTARY,
            init_from=base.path,
            out=tmp_path / name,
            **{**QUIET, **asked},
        )
        model = genloom.load(run)
        trained = [v for phase in model.phases() for v in (model.adapters or {}).values()] if name == "lora" else []
        sizes = [v for adapter in trained for v in adapter.variables] or list(variable_names(model).values())
        gains[name] = start - nats(run, manual)
        parameters = sum(int(np.prod(v.shape)) for v in sizes)
        print(f"{name}: {start - gains[name]:.3f}, gain {gains[name]:.3f}, {parameters:,} parameters trained")
    assert gains["lora"] >= 0.9 * gains["full"]


REMEDIES = ("none", "replay:share=0.2", "ewc:strength=30,samples=256", "adapters:rank=4")


@pytest.mark.quality
def test_remedies_against_forgetting(drama: str, manual: str, tmp_path: Path) -> None:
    forgotten = {}
    for remedy in REMEDIES:
        training = {**QUIET, "steps": 1000, "learning_rate": 3e-3}
        tasks = (
            continual.Task("drama", drama, {}),
            continual.Task(
                "manual", manual, {"steps": 500} | ({"learning_rate": 2e-2} if "adapters" in remedy else {})
            ),
        )
        sequence = continual.Sequence(
            "language/transformer",
            tasks,
            preset="nano-cpu",
            options=ROTARY,
            remedy=remedy,
            metric="test_nats_per_char",
            training=training,
        )
        found = continual.run_sequence(sequence, tmp_path / remedy.partition(":")[0])
        (forgotten[remedy],) = found["forgetting"]
        print(f"\n{remedy}: forgot {forgotten[remedy]:.3f}; average {found['average']:.3f}; {found['matrix']}")
    naive, replay, ewc, adapters = (forgotten[remedy] for remedy in REMEDIES)
    assert naive >= 0.3  # else the others have nothing to show
    assert replay <= 0.3 * naive
    assert ewc <= 0.75 * naive
    assert adapters == 0.0
