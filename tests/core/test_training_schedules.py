"""Rates, lengths and stopping rules against closed forms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from keras import ops

from genloom.cli.train import train
from genloom.errors import ConfigError
from genloom.options import describe
from genloom.training import Every, TrainingSettings, WarmupSchedule
from genloom.training.callbacks.stopping import Patience, default_monitor, parse_bound
from genloom.training.plan import Plan, Stretch
from genloom.training.schedules import fitting_warmup


def rate(schedule: WarmupSchedule, step: int) -> float:
    return float(ops.convert_to_numpy(schedule(ops.convert_to_tensor(step, "int32"))))


@pytest.mark.parametrize(
    ("shape", "share"),
    [("constant", lambda p: 1.0), ("linear", lambda p: 1 - p), ("cosine", lambda p: (1 + math.cos(math.pi * p)) / 2)],
)
def test_a_schedule_follows_its_closed_form(shape: str, share: object) -> None:
    schedule = WarmupSchedule(2.0, shape, warmup_steps=4, total_steps=24)
    assert [rate(schedule, k) for k in range(4)] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    for step in (4, 9, 14, 24, 40):
        progress = min(1.0, (step - 4) / 20)
        assert rate(schedule, step) == pytest.approx(2.0 * share(progress), abs=1e-6)  # type: ignore[operator]


def test_wsd_stays_and_falls_at_the_end_by_one_minus_a_root() -> None:
    """Hägele et al. 2024, equation 1: 1 - √((n - (N - N_d)) / N_d), here N = 40 and N_d = 10."""
    schedule = WarmupSchedule(2.0, "wsd", warmup_steps=4, total_steps=40, decay_share=0.25)
    rising, falling = [0.5, 1.0, 1.5, 2.0], [2.0 * (1 - math.sqrt(k / 10)) for k in range(11)]
    expected = [*rising, *[2.0] * 26, *falling, 0.0, 0.0]
    assert [rate(schedule, k) for k in range(43)] == pytest.approx(expected, abs=1e-6)
    again = WarmupSchedule.from_config(schedule.get_config())
    assert [rate(again, k) for k in range(43)] == [rate(schedule, k) for k in range(43)]


def test_a_schedule_refuses_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match="31 warm-up steps and 10 of decay are more than 40"):
        WarmupSchedule(1.0, "wsd", 31, 40, 0.25)
    with pytest.raises(ConfigError, match="decay_share must lie"):
        WarmupSchedule(1.0, "wsd", 0, 40, 0.0)
    with pytest.raises(ConfigError, match="Did you mean 'cosine'"):
        WarmupSchedule(1.0, "cosin", 0, 10)
    with pytest.raises(ConfigError, match="leave none"):
        WarmupSchedule(1.0, "linear", 10, 10)


@pytest.mark.parametrize(
    ("shape", "warmup", "total", "share", "expected"),
    [
        ("cosine", 50, 51, 0.2, 50),
        ("cosine", 50, 50, 0.2, 25),
        ("linear", 50, 1, 0.2, 0),
        ("constant", 50, 50, 0.2, 50),
        ("constant", 51, 50, 0.2, 25),
        ("wsd", 40, 50, 0.2, 40),
        ("wsd", 41, 50, 0.2, 25),
        ("wsd", 41, 50, 0.8, 10),
        ("wsd", 3, 1, 1.0, 0),
    ],
)
def test_a_warm_up_is_as_asked_or_half_of_a_training_that_has_no_room_for_it(
    shape: str, warmup: int, total: int, share: float, expected: int
) -> None:
    fitting = fitting_warmup(warmup, total, shape, share)
    assert fitting == expected
    WarmupSchedule(1.0, shape, fitting, total, share)


def test_every_counts_from_one() -> None:
    assert [count for count in range(9) if Every(3)(count)] == [3, 6]
    assert not any(Every(0)(count) for count in range(9))
    assert [Every(6)(count, since=4) for count in (4, 8, 12, 16, 20)] == [False, True, True, False, True]


@pytest.mark.parametrize("start", [0, 1, 6, 7, 13, 14, 20])
def test_the_stretches_take_every_step_once_and_end_epochs_where_they_end(start: int) -> None:
    plan = Plan(steps_per_epoch=7, total_steps=20)
    steps = []
    for stretch in plan.stretches(start):
        for epoch in range(stretch.first_epoch, stretch.end_epoch):
            for _ in range(stretch.steps):
                step = start + len(steps)
                assert plan.epoch_of(step) == epoch
                steps.append(step)
        assert stretch.end == start + len(steps)
    assert steps == list(range(start, 20))


def test_an_execution_ends_where_its_epoch_does() -> None:
    stretch = Stretch(start=3, first_epoch=0, end_epoch=2, steps=7)
    assert [stretch.execution(step, 3) for step in (3, 6, 9, 10, 13, 16)] == [3, 3, 1, 3, 3, 1]
    assert stretch.executions(3) == 3


def test_steps_come_before_epochs() -> None:
    assert Plan.of(TrainingSettings(epochs=3), 5).total_steps == 15
    assert Plan.of(TrainingSettings(epochs=3, steps=7), 5).total_steps == 7


def test_a_bound_is_read_and_its_metric_checked() -> None:
    names = ["loss", "val_loss"]
    assert parse_bound(" val_loss <= 1e-3 ", names) == ("val_loss", "<=", 1e-3)
    assert parse_bound("loss>2", names) == ("loss", ">", 2.0)
    for wrong in ("loss", "loss<", "loss<x", "__import__('os')<1"):
        with pytest.raises(ConfigError, match="METRIC<VALUE"):
            parse_bound(wrong, names)
    with pytest.raises(ConfigError, match="Did you mean 'val_loss'"):
        parse_bound("val_los<1", names)


def test_patience_counts_epochs_that_measure_and_every_page_says_so() -> None:
    rule = Patience("val_loss", "min", 1)
    rule.set_model(SimpleNamespace(stop_training=False))
    for epoch, logs in enumerate([{"val_loss": 1.0}, {"loss": 1.0}, {"loss": 1.0}]):
        rule.on_epoch_end(epoch, logs)
    assert not rule.model.stop_training
    rule.on_epoch_end(3, {"val_loss": 1.0})
    assert rule.model.stop_training
    flag = next(flag for flag in train.params if flag.name == "patience").help
    setting = next(row for row in describe(TrainingSettings) if row["name"] == "patience")
    for words in (flag, setting["help"]):
        assert "pochs, of those that measure it, without a better number" in words


def test_patience_counts_from_the_best_and_carries_its_counters() -> None:
    class Model:
        stop_training = False

    def feed(rule: Patience, values: list[float]) -> list[bool]:
        rule.set_model(Model())
        stops = []
        for epoch, value in enumerate(values):
            rule.on_epoch_end(epoch, {"val_loss": value})
            stops.append(rule.model.stop_training)
        return stops

    assert feed(Patience("val_loss", "min", 2), [3, 2, 2.5, 1.9, 2, 2]) == [False] * 5 + [True]
    first, second = Patience("val_loss", "max", 2), Patience("val_loss", "max", 2)
    feed(first, [1, 0])
    second.set_state(first.get_state())
    assert feed(second, [0.5]) == [True]
    assert default_monitor(["loss", "val_kl", "val_loss"]) == "val_loss"
    assert default_monitor(["critic_loss", "generator_loss"]) == "critic_loss"


TRAINED = """
import json, sys, keras, genloom
from genloom.plugins.discovery import load_file
load_file(sys.argv[1])
models = sys.modules["training_models"]
quiet = {"sample_every": 0, "progress": "none", "steps": 2, "batch_size": 4}
genloom.train("tests/vae", models.points(), out="a", schedule="cosine", warmup_steps=1, optimizer="adamw", **quiet)
model = genloom.create("tests/vae", models.SPEC)
model.compile(keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.25)))
genloom.train(model, models.points(), out="b", clip=1.0, **quiet)
print(json.dumps([model.optimizer.rates(), "tensorflow" in sys.modules]))
"""


def test_a_schedule_imports_no_tensorflow(
    tmp_path: Path, subprocess_env: Callable[..., dict[str, str]], run_python: Any
) -> None:
    """Keras's own configuration of an optimizer imports TensorFlow to write a schedule down, on every engine."""
    env = subprocess_env()
    models = str(Path(__file__).with_name("training_models.py"))
    done = run_python(TRAINED, models, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rates, imported = json.loads(done.stdout)
    assert rates == pytest.approx({"vae": 0.1 * 0.25**0.5})  # of the second and last step
    assert imported == (env["KERAS_BACKEND"] == "tensorflow")
