"""Alarms: what they look at and when, what they say and where, and what they leave alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom
from genloom.errors import PluginError, RunError
from genloom.model import Alarm, Seen, below
from genloom.plugins.discovery import load_file
from genloom.report import write as write_report
from genloom.runs import load_latest
from genloom.training.turning import turned

pytestmark = pytest.mark.any_engine

PLUGIN = """
import keras
from keras import ops
import genloom
from genloom.model import Alarm, below


class Falling(genloom.GenerativeModel):
    \"\"\"θ falls by .1 in each step: its gradient is 1 everywhere.\"\"\"

    validation = ("loss",)

    def __init__(self, spec, options=None, **values):
        super().__init__(spec, options, **values)
        self.theta = self.add_weight(shape=(), initializer="ones", name="theta")

    def phases(self):
        return [genloom.Phase("fit", lambda: [self.theta], self.loss_of)]

    def loss_of(self, batch):
        return self.theta + 0.0 * ops.mean(batch["x"]), {}, 1.0

    def validate(self, batch):
        return {"loss": ops.square(self.theta) + ops.zeros((batch["x"].shape[0],))}

    def default_optimizers(self):
        return keras.optimizers.SGD(0.1)

    def draw(self, keys, condition):
        return ops.zeros((keys.shape[0], *self.spec.shape))

    def alarms(self):
        def theta(seen):
            looks.append((len(seen.rows()["x"]), sorted(seen.logged)))
            return float(ops.convert_to_numpy(self.theta))

        return [Alarm("theta", theta, below(0.35), "it has fallen", "Stop it.", every=2)]


class Twice(Falling):
    def alarms(self):
        return [*super().alarms(), *super().alarms()]


looks = []


@genloom.hookimpl
def genloom_components():
    return [genloom.Component("model", f"alarmed/{name.lower()}", f"alarmed:{name}", "Falls.")
            for name in ("Falling", "Twice")]
"""

X = np.linspace(0.0, 1.0, 20, dtype="float32").reshape(10, 2)
QUIET: dict[str, Any] = {"sample_every": 0, "progress": "none", "batch_size": 7, "validation": 0.2}


@pytest.fixture(scope="module", autouse=True)
def looks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    if "alarmed" not in sys.modules:
        file = tmp_path_factory.mktemp("alarmed") / "alarmed.py"
        file.write_text(PLUGIN)
        load_file(file)
    return sys.modules["alarmed"].looks


def trained(out: Path, epochs: int = 12, **asked: Any) -> genloom.Run:
    """One step to an epoch, after which θ is 1 − .1 epochs."""
    return genloom.train("alarmed/falling", X, epochs=epochs, out=out, **{**QUIET, **asked})


def marks(run: genloom.Run) -> list[dict[str, Any]]:
    return [entry for entry in run.log() if "alarm" in entry]


def test_it_sounds_once_when_two_looks_are_below(tmp_path: Path, looks: list[Any], capfd: Any) -> None:
    """Looked at in epochs 2, 4, …: θ is .4, .2 and 0 after 6, 8 and 10."""
    looks.clear()
    run = trained(tmp_path / "run")
    assert [rows for rows, _ in looks] == [7] * 6  # what is set aside is not among them
    assert looks[0][1] == ["loss", "val_loss"]
    (mark,) = marks(run)
    assert (mark["step"], mark["epoch"], mark["alarm"]["name"]) == (10, 10, "theta")
    assert mark["alarm"]["value"] == pytest.approx(0.0, abs=1e-6)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "alarm" in line]
    assert "after epoch 10 (step 10): it has fallen. Stop it." in line
    page = write_report(run, tmp_path / "page.html").read_text()
    assert "<h2>Alarms" in page and "Step 10, epoch 10: theta was " in page


def test_it_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = load_latest(trained(tmp_path / "watched"))[0]
    monkeypatch.setattr(sys.modules["alarmed"].Falling, "alarms", lambda self: [])
    unwatched = load_latest(trained(tmp_path / "unwatched"))[0]
    for name, array in unwatched.items():
        if not name.startswith("callback/"):
            np.testing.assert_array_equal(watched[name], array, err_msg=name)


def test_it_stops_the_training_with_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"Stopped at step 10 by an alarm: theta is .* it has fallen\. Stop it\."
    ) as stop:
        trained(tmp_path / "run", stop_on_alarm=True)
    assert (stop.value.exit_code, stop.value.mend) == (1, "Stop it.")
    run = genloom.Run(tmp_path / "run")
    assert (run.saved_step, run.status, len(marks(run))) == (10, "interrupted", 1)
    run = trained(run.path, resume=True, stop_on_alarm=True)  # it has sounded
    assert (run.saved_step, run.status, len(marks(run))) == (12, "finished", 1)


@pytest.mark.parametrize("stop", [7, 9, 11])
def test_a_resumed_run_knows_what_was_seen(stop: int, tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    trained(tmp_path / "parts", epochs=stop)
    parts = trained(tmp_path / "parts", resume=True)
    assert [mark["step"] for mark in marks(parts)] == [mark["step"] for mark in marks(whole)] == [10]
    expected, found = load_latest(whole)[0], load_latest(parts)[0]
    assert sorted(expected) == sorted(found)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_a_held_out_loss_that_turns_is_an_alarm_of_every_model(tmp_path: Path) -> None:
    """θ² falls to 0 at epoch 10 and rises to 2.25 at epoch 25."""
    found = [mark for mark in marks(trained(tmp_path / "run", epochs=25)) if mark["alarm"]["name"] == "val_loss"]
    (mark,) = found
    assert 15 <= mark["epoch"] <= 24
    assert marks(trained(tmp_path / "short", epochs=9)) == []


def test_two_alarms_of_one_name_are_the_plugins_defect(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"Twice\.alarms\(\) makes \['theta', 'theta', 'val_loss'\]"):
        genloom.train("alarmed/twice", X, epochs=1, out=tmp_path / "run", **QUIET)


def test_a_mark_of_the_log_that_was_edited_is_only_text(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    entry = {"step": 3, "epoch": 1, "losses": {}, "alarm": {"name": "<b>", "value": None, "meaning": 7}}
    with open(run.path / "log.jsonl", "a") as log:
        log.write(json.dumps(entry) + "\n")
    assert "&lt;b&gt; was None" in write_report(run, tmp_path / "page.html").read_text()


def seen_in(values: list[float]) -> list[int]:
    """Lengths at which a growing list of losses counts as turned."""
    return [n for n in range(len(values) + 1) if turned(values[:n])]


def test_losses_that_fall_level_out_or_jitter_have_not_turned() -> None:
    rng = np.random.default_rng(0)
    steps = np.arange(2000)
    falling = 10 * np.exp(-steps / 100.0)
    for noise in (0.0, 0.01, 0.3):
        assert seen_in([*(falling + noise * rng.standard_normal(2000))][:400]) == []
    for _ in range(5):
        assert seen_in([*rng.standard_normal(300)]) == []  # begun from a run that had learnt all
    assert seen_in([1.0, 0.5, *[0.4] * 5, *[0.41] * 9]) == []  # a tenth of the fall is not risen yet


def test_losses_that_rise_after_their_fall_have_turned() -> None:
    rng = np.random.default_rng(0)
    steps = np.arange(60)
    losses = 10 * np.exp(-steps / 8.0) + 0.1 * np.maximum(steps - 20, 0) + 0.05 * rng.standard_normal(60)
    first = seen_in([*losses])[0]
    assert 25 < first < 50
    assert seen_in([*losses]) == list(range(first, 61))  # it sounds on
    assert seen_in([3.0, *[1.0] * 9, 9.0, 1.0, 9.0, 1.0, 9.0, 1.0]) == []  # high numbers among low ones are chance


def test_a_floor_forgives_a_bad_beginning() -> None:
    alarm = Alarm("x", lambda seen: seen.logged.get("x"), below(1.0, looks=3), "m", "M.")
    assert alarm.value(Seen({"y": 1.0}, dict)) is None
    assert [alarm.sounds([0.5] * n + [2.0]) for n in range(4)] == [False] * 4
    assert [alarm.sounds([2.0] + [0.5] * n) for n in range(5)] == [False, False, False, True, True]
