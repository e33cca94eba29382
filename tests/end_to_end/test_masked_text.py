"""Masked diffusion on texts of the plugin language: trained, sampled from a prompt, filled in, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom
from genloom.errors import ConfigError, RunError

pytestmark = pytest.mark.any_engine

TEXT = "the cat sat on the mat and the dog sat on the log\n" * 20
SMALL = {"layers": 1, "heads": 2, "width": 16, "steps": 8, "learning_rate": 1e-2}
QUIET = {"sample_every": 0, "validation": 0.0, "batch_size": 8}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("masked")
    (folder / "cats.txt").write_text(TEXT)
    data = f"text:{folder / 'cats.txt'}?length=16"
    return genloom.train("diffusion/masked", data, options=SMALL, steps=40, out=folder / "run", seed=1, **QUIET)


def test_samples_are_text_that_begins_with_the_prompt(run: Any) -> None:
    drawn = genloom.sample(run, 3, 0, {"prompt": ["the dog", "cat", "s"]})
    texts = [str(text) for text in drawn.samples[:, 0]]
    assert [text[:n] for text, n in zip(texts, (7, 3, 1), strict=True)] == ["the dog", "cat", "s"]
    assert {len(text) for text in texts} == {16} and drawn.evaluations == 8


def test_any_place_is_filled_in(run: Any) -> None:
    dataset = genloom.data.open(run.address)
    x = dataset.test.arrays(4)["x"]
    given = np.where(np.arange(16) % 2, x, -1)
    drawn = genloom.sample(run, 4, 0, {"tokens": given}, post=())
    np.testing.assert_array_equal(drawn.samples[:, 1::2], x[:, 1::2])


def test_it_is_measured_in_nats_per_character_as_language_models_are(run: Any) -> None:
    results = genloom.evaluate(run, n=4)["results"]
    values = {entry["name"]: entry["value"] for entry in results}
    rate = genloom.data.open(run.address).spec.rate
    assert values["test_nats_per_char"] == pytest.approx(values["test_bound"] / rate)
    assert 0.5 < values["test_bound"] < np.log(len(set(TEXT)))  # better than an even guess
    assert values["network evaluations"] == 8


PROMPTS = {"unknown": ("qwz!", "cannot be read"), "long": ("the cat sat on the mat", "has 22 tokens; a sample has 16")}


@pytest.mark.parametrize(("prompt", "words"), PROMPTS.values(), ids=PROMPTS)
def test_a_prompt_that_does_not_fit_is_refused(run: Any, prompt: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        genloom.sample(run, 1, 0, {"prompt": prompt})


def test_a_damaged_tokenizer_is_told(run: Any, tmp_path: Path) -> None:
    model = genloom.load(run)
    model.tokenizer = tmp_path / "tokenizer.json"
    model.tokenizer.write_text("{")
    with pytest.raises(RunError, match="is no tokenizer"):
        genloom.sample(model, 1, 0, {"prompt": "the"})
