"""What fine-tuning, remedies against forgetting and prompts reach: `nox -s quality -- plugins/language`.

Each test prints the table that stands in docs/results/language.md.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

import genloom
from genloom.model.naming import variable_names
from genloom_adapt import Sequence, Task, adapters, run_sequence
from genloom_language.prompting import prompt
from genloom_language.prompting.speaker import SPEAKERS, lines, speaker_task, write_training

QUIET: dict[str, Any] = {"validation": 0.0, "sample_every": 0, "progress": "none"}
ROTARY = {"position": "rotary"}


@pytest.fixture(scope="module")
def manual(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of another kind of English: the prose of Python's reference manual, which every Python brings along.

    Of the characters only those are kept that drama has: the vectors of others would be frozen as they were drawn.
    """
    known = set((shared_data / "tinyshakespeare.txt").read_text("utf-8"))
    text = "\n\n".join(topics[name] for name in sorted(topics))
    prose = [part for part in re.split(r"\n\s*\n", text) if _is_prose(part)]
    file = tmp_path_factory.mktemp("data") / "manual.txt"
    file.write_text("\n\n".join("".join(c for c in part if c in known) for part in prose))
    return f"text:{file}?tokenizer=byte"


def _is_prose(part: str) -> bool:
    letters = sum(c.isalpha() or c in " \n" for c in part)
    return not part.startswith("   ") and letters > 0.93 * len(part) and len(part) > 80


@pytest.fixture(scope="module")
def drama(shared_data: Path) -> str:
    return f"text:{shared_data / 'tinyshakespeare.txt'}?tokenizer=byte"


@pytest.fixture(scope="module")
def base(drama: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("base") / "base"
    return genloom.train("language/transformer", drama, preset="nano-cpu", options=ROTARY, out=out, **QUIET)


def nats(run: Any, data: str) -> float:
    from genloom.evaluation.heldout import losses

    return losses(genloom.load(run), genloom.data.open(data).test)["nats_per_char"]


@pytest.mark.quality
def test_lora_gains_nine_tenths_of_what_full_fine_tuning_does(base: Any, manual: str, tmp_path: Path) -> None:
    """With less than a twentieth of the parameters, on another kind of text."""
    start = nats(base, manual)
    print(f"\nbase: {start:.3f} nats a character")
    gains = {}
    for name, asked in {
        "full": {"learning_rate": 2e-3},
        "lora": {"learning_rate": 1e-2, "adapt": "lora:rank=4,alpha=16"},
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
        trained = adapters(model).values() if name == "lora" else ()
        sizes = [v for adapter in trained for v in adapter.variables] or list(variable_names(model).values())
        gains[name] = start - nats(run, manual)
        parameters = sum(int(np.prod(v.shape)) for v in sizes)
        print(f"{name}: {start - gains[name]:.3f}, gain {gains[name]:.3f}, {parameters:,} parameters trained")
    assert gains["lora"] >= 0.9 * gains["full"]


REMEDIES = ("none", "replay:share=0.2", "ewc:strength=1,samples=128", "adapters:rank=4")


@pytest.mark.quality
def test_remedies_against_forgetting(drama: str, manual: str, tmp_path: Path) -> None:
    forgotten = {}
    for remedy in REMEDIES:
        training = {**QUIET, "steps": 1000, "learning_rate": 3e-3}
        tasks = (
            Task("drama", drama, {}),
            Task("manual", manual, {"steps": 500} | ({"learning_rate": 2e-2} if "adapters" in remedy else {})),
        )
        sequence = Sequence(
            "language/transformer",
            tasks,
            preset="nano-cpu",
            options=ROTARY,
            remedy=remedy,
            metric="test_nats_per_char",
            training=training,
        )
        found = run_sequence(sequence, tmp_path / remedy.partition(":")[0])
        (forgotten[remedy],) = found["forgetting"]
        print(f"\n{remedy}: forgot {forgotten[remedy]:.3f}; average {found['average']:.3f}; {found['matrix']}")
    naive, replay, ewc, adapters = (forgotten[remedy] for remedy in REMEDIES)
    assert naive >= 0.3  # else the others have nothing to show
    assert replay <= 0.3 * naive
    assert ewc <= 0.75 * naive
    assert adapters == 0.0


@pytest.mark.quality
def test_a_speaker_is_told_from_a_speech(drama: str, shared_data: Path, tmp_path: Path) -> None:
    """Five folds of 192 speeches of the embedded play, by a model that has read other plays only."""
    text = (shared_data / "tinyshakespeare.txt").read_text("utf-8")
    others = text[text.index("Now is the winter of our discontent") :]  # Coriolanus stands before it
    documents = [others[start : start + 500] for start in range(0, len(others), 500)]
    read = tmp_path / "read.jsonl"
    read.write_text("".join(json.dumps({"text": document}) + "\n" for document in documents))
    asked = {**QUIET, "schedule": "cosine", "warmup_steps": 20}
    shape: dict[str, Any] = {"preset": "nano-cpu", "options": ROTARY}
    words = f"jsonl:{read}?length=129"
    base = genloom.train("language/transformer", words, steps=1000, out=tmp_path / "base", **shape, **QUIET)
    ways: dict[str, dict[str, Any]] = {
        "full": {"learning_rate": 1e-3},
        "lora": {"learning_rate": 5e-3, "adapt": "lora:rank=4"},
        "soft prompt": {"learning_rate": 3e-2, "adapt": "soft:vectors=8"},
    }
    right: dict[str, list[float]] = {}
    for fold in range(5):
        task, data = speaker_task(fold), write_training(fold, tmp_path / f"fold{fold}.jsonl") + "?length=129"
        for k in (0, 1):
            right.setdefault(f"{k}-shot", []).extend(_records(base, task, k))
        for name, settings in ways.items():
            run = genloom.train(
                "language/transformer",
                data,
                init_from=base.path,
                steps=120,
                out=tmp_path / f"{name}-{fold}",
                **{**shape, **asked, **settings},
            )
            right.setdefault(name, []).extend(_records(run, task, 0))
    print()
    for name, each in right.items():
        mean = np.mean(each)
        print(f"{name}: {mean:.3f} ± {np.sqrt(mean * (1 - mean) / len(each)):.3f} of {len(each)}")
    print(f"naive Bayes of words: {bags_of_words():.3f}")
    most = max(sum(who == name for _, who in lines()) for name in SPEAKERS) / len(lines())
    assert max(np.mean(right[name]) for name in ways) > most  # whoever always names who speaks most


def bags_of_words() -> float:
    """The share of right answers of a simple opponent, over the same folds."""
    said, who = (np.array(each) for each in zip(*lines(), strict=True))
    right = np.zeros(len(who))
    for fold in range(5):
        asked = np.arange(len(who)) % 5 == fold
        opponent = make_pipeline(CountVectorizer(), MultinomialNB()).fit(said[~asked], who[~asked])
        right[asked] = opponent.predict(said[asked]) == who[asked]
    return float(right.mean())


def _records(run: Any, task: Any, k: int) -> list[float]:
    (entry,) = [e for e in prompt(run, task, k, records=True)["results"] if e["measure"] == "acc"]
    return list(entry["records"])
