"""`genloom doctor --bench`: a table of engines; one that fails or hangs says why in its row and stops nothing."""

from __future__ import annotations

import json
import os
from typing import Any

import keras
import pytest
from click.testing import CliRunner

from genloom import engine
from genloom.cli import speed
from genloom.cli.doctor import doctor
from genloom.errors import RunError
from genloom.profiling import engines as speedtest

RUN = speed.subprocess.run
STEPS = {kind: {"ms": 2.0, "lowest": 1.0, "highest": 3.0, "first_s": 0.5} for kind in speed.KINDS}


def test_each_kind_of_step_is_timed_on_this_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speedtest, "_SECONDS", 0.2)
    found = speedtest.measure()
    assert list(found) == list(speed.KINDS)
    for step in found.values():
        assert 0 < step["lowest"] <= step["ms"] <= step["highest"] < 60e3
        assert step["first_s"] > 0


def test_the_advice_is_the_fastest_that_answered() -> None:
    slow = {kind: {**step, "ms": 4.0} for kind, step in STEPS.items()} | {"dense": {**STEPS["dense"], "ms": 1.0}}
    speeds = [speed.Speed("jax", STEPS), speed.Speed("torch", slow), speed.Speed("tensorflow", None, "broken")]
    assert speed.advice(speeds) == {"convolution": "jax", "attention": "jax", "dense": "torch"}
    assert speed.advice(speeds[2:]) == {}


def child(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let every engine's process run a program of the test's."""

    def run(command: list[str], **settings: Any) -> Any:
        return RUN([command[0], "-c", program], **settings)

    monkeypatch.setattr(speed.subprocess, "run", run)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise MemoryError('too small')", "failed with exit code 1: MemoryError: too small"),
        ("import os; os.kill(os.getpid(), 9)", "failed with exit code -9"),
        ("import time; time.sleep(60)", "gave no answer in 1 s"),
        ("print('hello')", "answered 'hello'"),
    ],
)
def test_an_engine_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, program: str, reason: str) -> None:
    monkeypatch.setattr(engine, "installed", lambda: ["jax"])
    child(monkeypatch, program)
    found = {each.engine: each for each in speed.measured(seconds=1)}
    assert found["jax"].steps is None
    assert reason in (found["jax"].failure or "")
    assert "not installed" in (found["torch"].failure or "")


def test_the_command_prints_a_table_json_or_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    used = keras.config.backend()
    monkeypatch.setattr(engine, "installed", lambda: [used])
    child(monkeypatch, f"import os; assert os.environ['KERAS_BACKEND'] == {used!r}; print({json.dumps(STEPS)!r})")
    shown = CliRunner().invoke(doctor, ["--bench"])
    assert shown.exit_code == 0
    assert f"{used}\t2.00 (1.00 to 3.00)" in shown.stdout
    assert f"dense: choose {used} on this machine." in shown.stderr
    document = json.loads(CliRunner().invoke(doctor, ["--bench", "--json"]).stdout)
    assert document["fastest"] == dict.fromkeys(speed.KINDS, used)
    child(monkeypatch, "raise SystemExit(3)")
    failed = CliRunner().invoke(doctor, ["--bench"])
    assert isinstance(failed.exception, RunError)
    assert "No engine gave an answer" in str(failed.exception)
    assert os.environ["KERAS_BACKEND"] == used
