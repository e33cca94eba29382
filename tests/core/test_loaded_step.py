"""Whatever states a step states that of the weights it read: the newest checkpoint may be damaged, or just written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import genloom
from genloom.cli.failures import guarded
from genloom.cli.main import cli
from genloom.runs import Run

pytestmark = pytest.mark.any_engine


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose newest of two checkpoints, of steps 2 and 4, is damaged."""
    asked = {"preset": "tiny", "steps": 4, "checkpoint_steps": 2, "sample_every": 0, "progress": "none"}
    run = genloom.train("vae/mlp", "digits", out=tmp_path / "run", **asked)
    state = run.latest() / "state.safetensors"
    assert run.saved_step == 4
    content = bytearray(state.read_bytes())
    content[-1] ^= 1
    state.write_bytes(content)
    return run


def told(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[Any, str]:
    given = [str(word) for word in words]
    assert guarded(lambda: cli.main(given, prog_name="genloom", standalone_mode=False), given) == 0
    written = capsys.readouterr()
    return json.loads(written.out), written.err


def test_scores_samples_and_models_carry_the_step_that_was_read(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert genloom.load(run).loaded_step == 2
    assert genloom.sample(run, 2).step == 2
    assert genloom.evaluate(run, ["precision"], n=20)["step"] == 2
    assert {entry["step"] for entry in run.metrics()} == {2}
    for mode in ("generate", "reconstruct"):
        content, said = told(capsys, "sample", run.path, "-n", 2, "--mode", mode, "--out", tmp_path / "x.npz", "--json")
        assert content["step"] == 2
        assert "Weights of step 2." in said and "step 4." not in said
