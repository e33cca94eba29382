"""A training of minutes that must learn from examples alone: `nox -s quality -- plugins/language`."""

from __future__ import annotations

from typing import Any

import pytest

import genloom
from genloom_language.prompting import cipher_task, prompt

#: Examples → the least accuracy; without any nothing can be known.
BARS = {1: 0.90, 2: 0.90, 4: 0.95}


@pytest.fixture(scope="module")
def lookup(tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = {"validation": 0.0, "sample_every": 0, "progress": "none"}
    out = tmp_path_factory.mktemp("lookup") / "run"
    return genloom.train("language/transformer", "cipher", preset="lookup", out=out, **settings)


def accuracies(run: Any) -> dict[int, dict[str, Any]]:
    results = prompt(run, cipher_task(), [0, *BARS])["results"]
    return {entry["k"]: entry for entry in results if entry["measure"] == "acc"}


@pytest.mark.quality
def test_codes_never_trained_on_are_known_from_one_example(lookup: Any) -> None:
    found = accuracies(lookup)
    print("\n" + ", ".join(f"{k}: {entry['value']:.3f} ± {entry['stderr']:.3f}" for k, entry in found.items()))
    # Three standard errors of 500 coins of 1/16.
    assert found[0]["value"] == pytest.approx(1 / 16, abs=0.033)
    for k, bar in BARS.items():
        assert found[k]["value"] >= bar
        assert found[k]["cut"] == 0
