"""Trainings of minutes that must reach a published number: `nox -s quality -- plugins/language`."""

from __future__ import annotations

from pathlib import Path

import pytest

import genloom

# Nats per character of the last tenth of Tiny Shakespeare: nanoGPT's CPU configuration has 1.88, four-grams 1.77; a
# bigram of 1,024 byte pairs 1.78.
BARS = {"char": 1.92, "bpe": 1.75}


@pytest.mark.quality
@pytest.mark.parametrize("tokenizer", BARS)
def test_tiny_shakespeare_is_predicted_as_well_as_it_should_be(
    tokenizer: str, shared_data: Path, tmp_path: Path
) -> None:
    data = f"text:{shared_data / 'tinyshakespeare.txt'}?tokenizer={tokenizer}"
    settings = {"validation": 0.0, "sample_every": 0, "progress": "none"}
    run = genloom.train("language/transformer", data, preset="nano-cpu", out=tmp_path / "run", **settings)
    results = {entry["name"]: entry["value"] for entry in genloom.evaluate(run, n=4)["results"]}
    print(f"\n{tokenizer}: {results['test_nats_per_char']:.4f} nats per character")
    assert results["test_nats_per_char"] <= BARS[tokenizer]


@pytest.mark.quality
def test_a_longer_recipe_passes_five_grams(shared_data: Path, tmp_path: Path) -> None:
    """1.669 nats per character is what five-grams with Witten-Bell smoothing reach."""
    data = f"text:{shared_data / 'tinyshakespeare.txt'}?tokenizer=char&length=129"
    settings = {"validation": 0.0, "sample_every": 0, "progress": "none", "steps": 5000}
    options = {"position": "rotary"}
    run = genloom.train(
        "language/transformer", data, preset="nano-cpu", options=options, out=tmp_path / "r", **settings
    )
    results = {entry["name"]: entry["value"] for entry in genloom.evaluate(run, n=4)["results"]}
    print(f"\nlonger: {results['test_nats_per_char']:.4f} nats per character")
    assert results["test_nats_per_char"] < 1.669
