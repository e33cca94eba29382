"""A training of minutes that must learn from examples alone: `nox -s quality -- plugins/language`."""

from __future__ import annotations

from pathlib import Path

import pytest

import genloom
from genloom_language.prompting import cipher_task, prompt

#: Examples → the least accuracy; without any nothing can be known.
BARS = {1: 0.90, 2: 0.90, 4: 0.95}


@pytest.mark.quality
def test_codes_never_trained_on_are_known_from_one_example(tmp_path: Path) -> None:
    settings = {"validation": 0.0, "sample_every": 0, "progress": "none"}
    run = genloom.train("language/transformer", "cipher", preset="lookup", out=tmp_path / "run", **settings)
    results = prompt(run, cipher_task(), [0, *BARS])["results"]
    found = {entry["k"]: entry for entry in results if entry["measure"] == "acc"}
    print("\n" + ", ".join(f"{k}: {entry['value']:.3f} ± {entry['stderr']:.3f}" for k, entry in found.items()))
    # Three standard errors of 500 coins of 1/16.
    assert found[0]["value"] == pytest.approx(1 / 16, abs=0.033)
    for k, bar in BARS.items():
        assert found[k]["value"] >= bar
        assert found[k]["cut"] == 0
