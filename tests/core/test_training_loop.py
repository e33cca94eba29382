"""What one training does: logs, rates, averages, accumulation, clipping, precision, ends and files."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom.errors import ConfigError, PluginError, RunError
from genloom.model.state import named_variables
from genloom.plugins.discovery import load_file
from genloom.runs import load_latest
from genloom.training import TrainingSettings
from genloom.training.optimizing import compile_model

QUIET = {"sample_every": 0, "progress": "none", "batch_size": 20}


@pytest.fixture(scope="module", autouse=True)
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).with_name("training_models.py"))
    return sys.modules["training_models"]


class Recorder(keras.callbacks.Callback):
    """Keeps each batch's running means and the weights after it."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[dict[str, float]] = []
        self.weights: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.logs.append(dict(logs))
        self.model.sync_state()
        self.weights.append(weights(self.model))


def weights(model: Any) -> np.ndarray:
    return np.concatenate([ops.convert_to_numpy(v.value).ravel() for v in model.trainable_variables]).astype("float64")


def slot(model: Any, name: str) -> Any:
    return ops.convert_to_numpy(named_variables(model)[name].value)


def test_a_run_holds_its_configuration_log_pictures_and_checkpoints(models: Any, tmp_path: Path) -> None:
    run = genloom.train(
        "tests/vae", models.points(), preset="quick", out=tmp_path / "run", seed=3, epochs=2, progress="none"
    )
    config = run.config
    assert config["model"] == {
        "id": "tests/vae",
        "preset": "quick",
        "seed": 3,
        "options": {"latent": 1, "rate": 0.2, "conditional": False},
        "plugin": models.__file__,
    }
    training = config["training"]
    # The component recommends the batch size and, for the preset, the average; the caller's epochs win.
    assert (training["epochs"], training["batch_size"], training["ema"]) == (2, 20, 0.9)
    assert training["steps_per_epoch"] == 180 // 20  # a tenth is set aside
    lines = list(run.log())
    assert [(line["step"], line["epoch"]) for line in lines] == [(9, 1), (18, 2), (18, 2)]
    assert set(lines[0]["losses"]) == {"loss", "kl", "val_loss"}
    assert run.status == "finished"
    assert [path.name for path in run.samples()] == ["epoch-0001.png", "epoch-0002.png"]
    assert (run.path / "samples" / "real.png").stat().st_size > 500
    assert [path.name for path in run.checkpoints()] == ["step-00000009", "step-00000018"]


def test_an_epoch_is_logged_as_the_mean_of_its_batches(models: Any, tmp_path: Path) -> None:
    class Single(keras.callbacks.Callback):
        """Recovers each batch's own loss from the running means."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.before, self.count, self.values = 0.0, 0, []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.count += 1
            self.values.append(logs["loss"] * self.count - self.before)
            self.before = logs["loss"] * self.count

    single = Single()
    model = genloom.create("tests/plain", models.SPEC)
    run = genloom.train(
        model, models.points(), out=tmp_path / "run", epochs=2, callbacks=[single], log_every=4, **QUIET
    )
    lines = [line for line in run.log() if line["losses"]]
    assert [line["step"] for line in lines] == [4, 8, 9, 12, 16, 18]
    assert lines[-1]["losses"]["loss"] == pytest.approx(np.mean(single.values), rel=1e-4)
    assert abs(lines[-1]["losses"]["loss"] - single.values[-1]) > 1e-6  # not merely the last batch's


def test_a_scheduler_reaches_every_phase_and_keeps_their_ratio(models: Any, tmp_path: Path) -> None:
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    run = genloom.train("tests/gan", models.points(), out=tmp_path / "run", epochs=2, callbacks=[halve], **QUIET)
    rates = [line["rates"] for line in run.log() if line["rates"]]
    assert rates[0] == pytest.approx({"critic": 2e-3, "generator": 0.5e-3})
    assert rates[1] == pytest.approx({"critic": 1e-3, "generator": 0.25e-3})


def test_warm_up_counts_the_updates_of_each_phase(models: Any, tmp_path: Path) -> None:
    model = genloom.create("tests/gan", models.SPEC)
    options = {"schedule": "linear", "warmup_steps": 2, "learning_rate": 0.01, "log_every": 1, "steps": 4}
    run = genloom.train(model, models.points(), out=tmp_path / "run", **options, **QUIET)
    rates = [line["rates"] for line in run.log() if line["rates"]]
    # The critic is updated twice a step: its rise has 4 updates, its fall 4; the rate is set once a step.
    assert [r["critic"] for r in rates[:4]] == pytest.approx([0.0025, 0.0075, 0.01, 0.005])
    assert [r["generator"] for r in rates[:4]] == pytest.approx([0.00125, 0.0025, 0.0025, 0.00125])


@pytest.mark.any_engine
def test_a_warm_up_too_long_for_a_training_takes_half_of_it_and_what_was_asked_once_there_is_room(
    models: Any, tmp_path: Path, capsys: Any
) -> None:
    asked = {"schedule": "linear", "warmup_steps": 8, "learning_rate": 0.08, "log_every": 1, **QUIET}

    def rates(path: str, steps: int, **options: Any) -> list[float]:
        run = genloom.train("tests/plain", models.points(), out=tmp_path / path, steps=steps, **asked, **options)
        assert run.config["training"]["warmup_steps"] == 8
        return [next(iter(line["rates"].values())) for line in run.log() if line["rates"]]

    short = rates("run", 4)
    assert short[:4] == pytest.approx([0.04, 0.08, 0.08, 0.04])
    assert "8 warm-up steps do not fit into 4 steps: 2 are used." in capsys.readouterr().err
    resumed, whole = rates("run", 12, resume=True), rates("whole", 12)
    assert resumed[-4:] == pytest.approx(whole[-4:])
    assert whole[4] == pytest.approx(0.05)
    assert "warm-up" not in capsys.readouterr().err


def test_early_stopping_watches_held_out_losses(models: Any, tmp_path: Path) -> None:
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", mode="min", patience=1, min_delta=100.0)
    run = genloom.train("tests/vae", models.points(), out=tmp_path / "run", epochs=9, callbacks=[stop], **QUIET)
    assert stop.stopped_epoch == 1
    assert [line["epoch"] for line in run.log() if line["losses"]] == [1, 2]
    assert run.status == "finished"
    assert run.latest().name == "step-00000018"


def test_stop_when_and_patience_end_a_training(models: Any, tmp_path: Path) -> None:
    run = genloom.train(
        "tests/plain", models.points(), out=tmp_path / "a", epochs=9, stop_when="val_loss<1000", **QUIET
    )
    assert [line["epoch"] for line in run.log() if line["losses"]] == [1]
    model = genloom.create("tests/plain", models.SPEC)
    run = genloom.train(model, models.points(), out=tmp_path / "b", epochs=9, patience=2, learning_rate=0.0, **QUIET)
    assert [line["epoch"] for line in run.log() if line["losses"]] == [1, 2, 3]
    with pytest.raises(ConfigError, match="Did you mean 'val_loss'"):
        genloom.train("tests/plain", models.points(), out=tmp_path / "c", stop_when="valloss<1", **QUIET)
    assert not genloom.runs.Run(tmp_path / "c").exists  # the corrected command begins there
    with pytest.raises(ConfigError, match="names 'valloss', which is not logged"):
        genloom.train("tests/plain", models.points(), stop_when="valloss<1", dry_run=True, **QUIET)
    with pytest.raises(ConfigError, match=r"best names 'val_los', which is not logged\. Did you mean 'val_loss'"):
        genloom.train("tests/plain", models.points(), out=tmp_path / "d", best="val_los", patience=1, **QUIET)


@pytest.mark.any_engine
def test_patience_counts_epochs_though_a_preset_measures_seldom(tmp_path: Path) -> None:
    settings = {"preset": "tiny", "epochs": 4, "learning_rate": 0.0, **QUIET}
    run = genloom.train("vae/mlp", "digits", out=tmp_path / "run", patience=1, **settings)
    assert [line["epoch"] for line in run.log() if line["losses"]] == [1, 2]


def test_accumulation_equals_the_whole_batch(models: Any, tmp_path: Path) -> None:
    ends = []
    for parts in (1, 4):
        model = genloom.create("tests/plain", models.SPEC, seed=1)
        settings = {"optimizer": "sgd", "learning_rate": 0.5, "accumulate": parts, "steps": 12}
        genloom.train(model, models.points(), out=tmp_path / str(parts), **settings, **QUIET)
        ends.append(weights(model))
    start = weights(genloom.create("tests/plain", models.SPEC, seed=1))
    assert np.abs(ends[0] - start).max() > 1e-2
    assert ends[1] == pytest.approx(ends[0], abs=1e-5)


def test_the_average_of_weights_is_the_recursion_of_its_definition(models: Any, tmp_path: Path) -> None:
    model, recorder = genloom.create("tests/plain", models.SPEC, seed=1), Recorder()
    average = weights(model)
    settings = {"learning_rate": 0.05, "ema": 0.6, "steps": 12}
    genloom.train(model, models.points(), out=tmp_path / "run", callbacks=[recorder], **settings, **QUIET)
    for t, now in enumerate(recorder.weights, 1):
        keep = min(0.6, (1 + t) / (10 + t))
        average = average + (1 - keep) * (now - average)
    shadows = np.concatenate([ops.convert_to_numpy(s.value).ravel() for s in model.optimizer.shadows])
    assert shadows == pytest.approx(average, abs=1e-6)
    assert np.abs(shadows - weights(model)).max() > 1e-3
    loaded = genloom.load(tmp_path / "run", model=genloom.create("tests/plain", models.SPEC))
    assert weights_of(loaded) == pytest.approx(average, abs=1e-6)
    loaded = genloom.load(tmp_path / "run", model=genloom.create("tests/plain", models.SPEC), weights="trained")
    assert weights_of(loaded) == pytest.approx(weights(model), abs=1e-7)


def weights_of(frozen: Any) -> np.ndarray:
    assert not frozen.trainable_variables
    frozen.trainable = True
    return weights(frozen)


def test_clipping_bounds_the_norm_of_an_update(models: Any, tmp_path: Path) -> None:
    model = genloom.create("tests/plain", models.SPEC, seed=1)
    start = weights(model)
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "clip": 0.01, "steps": 1}
    genloom.train(model, models.points(), out=tmp_path / "run", **settings, **QUIET)
    assert np.linalg.norm(weights(model) - start) == pytest.approx(0.01, rel=1e-3)


def test_bfloat16_computes_in_layers_only(models: Any, tmp_path: Path) -> None:
    run = genloom.train(
        "tests/gan", models.points(), out=tmp_path / "b", precision="bfloat16", ema=0.9, epochs=2, **QUIET
    )
    assert keras.config.dtype_policy().name == "float32"
    arrays, _ = load_latest(run)
    kinds = {name.split("/")[0]: array.dtype for name, array in arrays.items() if array.dtype.kind not in "iu"}
    assert set(kinds.values()) == {np.dtype("float32")}
    model = genloom.load(run)
    assert model.generator.layers[0].compute_dtype == "bfloat16"
    exact = genloom.train("tests/gan", models.points(), out=tmp_path / "f", ema=0.9, epochs=2, **QUIET)
    last = [[line["losses"] for line in r.log() if line["losses"]][-1] for r in (run, exact)]
    assert last[0] == pytest.approx(last[1], rel=0.05, abs=0.02)
    assert last[0] != last[1]


def test_training_stops_at_a_loss_that_is_no_number(models: Any, tmp_path: Path) -> None:
    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                variable = self.model.trainable_variables[0]
                variable.assign(np.full(variable.shape, np.nan, "float32"))

    with pytest.raises(RunError, match=r"loss \(phase 'plain'\) is nan at step 10; step-00000009 is kept"):
        genloom.train("tests/plain", models.points(), out=tmp_path / "run", epochs=3, callbacks=[Poison()], **QUIET)
    arrays, manifest = load_latest(genloom.Run(tmp_path / "run"))
    assert manifest["step"] == 9
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_training_ends_at_a_draw_that_breaks_its_promise(models: Any, tmp_path: Path) -> None:
    quiet = {**QUIET, "sample_every": 1}
    with pytest.raises(PluginError, match=r"Plain\.draw\(\) returned values in .*: its data are in \[0, 1\]"):
        genloom.train("tests/plain", models.points(), out=tmp_path / "run", epochs=2, **quiet)
    assert not list((tmp_path / "run" / "samples").glob("epoch-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_then_acts(
    models: Any, tmp_path: Path, number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    class Press(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                signal.raise_signal(number)

    class Terminated(BaseException):
        pass

    def stop(*_: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Terminated):
            genloom.train("tests/plain", models.points(), out=tmp_path / "run", epochs=3, callbacks=[Press()], **QUIET)
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)
    run = genloom.Run(tmp_path / "run")
    assert run.latest().name == "step-00000004"
    assert run.status == "interrupted"
    call = f"genloom.train(model, data, out={str(run.path)!r}, resume=True)"  # the data are an object
    assert f"Saved at step 4. To go on in Python: {call}.\n" in capfd.readouterr().err


@pytest.mark.any_engine
def test_what_runs_between_steps_is_said_once(models: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = {**QUIET, "progress": "lines", "sample_every": 1, "sample_count": 64}
    genloom.train("tests/vae", models.points(), out=tmp_path / "run", epochs=2, **settings)
    told = capfd.readouterr().err.splitlines()
    assert told.count("step 9/18  measuring held-out losses …") == 1
    assert told.count("step 9/18  drawing 64 samples …") == 1
    assert len(told) == 4


@pytest.mark.any_engine
def test_a_validation_that_is_never_due_is_said(models: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for every, steps, said in ((2, 9, 1), (2, 18, 0), (1, 3, 0)):  # 9 steps are an epoch
        out = tmp_path / f"{every}-{steps}"
        genloom.train("tests/vae", models.points(), out=out, steps=steps, validate_every=every, **QUIET)
        told = f"no held-out loss is measured: 1 epoch is planned, validate_every={every}."
        assert capfd.readouterr().err.count(told) == said


@pytest.mark.any_engine
def test_pictures_of_a_short_trial_cost_no_more_than_its_training(
    models: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.VAE, "evaluations", lambda self: 8, raising=False)
    settings = {**QUIET, "progress": "lines", "sample_every": 1, "sample_count": 64}
    for steps, count in ((1, 8), (6, 15), (40, 64)):  # steps of 20 samples, 8 evaluations a sample, 8 samples at least
        genloom.train("tests/vae", models.points(), out=tmp_path / str(steps), steps=steps, **settings)
        assert f"drawing {count} samples …" in capfd.readouterr().err


def test_seeds_train_one_run_each_and_differ(models: Any, tmp_path: Path) -> None:
    runs = genloom.train("tests/plain", models.points(), out=tmp_path / "run", seeds=[1, 2], epochs=1, **QUIET)
    assert [run.path.name for run in runs] == ["run-seed1", "run-seed2"]
    again = genloom.train("tests/plain", models.points(), out=tmp_path / "again", seed=2, epochs=1, **QUIET)
    ends = [load_latest(run)[0]["model/net/0/kernel"] for run in (*runs, again)]
    assert np.abs(ends[0] - ends[1]).max() > 1e-2
    np.testing.assert_array_equal(ends[1], ends[2])


def test_init_from_copies_weights_by_name(models: Any, tmp_path: Path) -> None:
    first = genloom.train("tests/plain", models.points(), out=tmp_path / "a", epochs=1, **QUIET)
    second = genloom.train(
        "tests/plain", models.points(), out=tmp_path / "b", seed=5, init_from=first.path, steps=0, **QUIET
    )
    old, new = (load_latest(run)[0] for run in (first, second))
    np.testing.assert_array_equal(old["model/net/0/kernel"], new["model/net/0/kernel"])
    assert int(new["counter/step"]) == 0
    with pytest.raises(RunError, match="The checkpoint lacks 'model/critic/0/kernel'"):
        genloom.train("tests/gan", models.points(), out=tmp_path / "c", init_from=first.path, epochs=1, **QUIET)


def test_init_from_keeps_the_options_of_the_run_that_are_not_given_anew(models: Any, tmp_path: Path) -> None:
    asked = {"options": {"latent": 5, "rate": 0.1}, "steps": 1, **QUIET}
    first = genloom.train("tests/vae", models.points(), out=tmp_path / "a", **asked)
    asked = {"init_from": first.path, "options": {"rate": 0.4}, "steps": 0, **QUIET}
    second = genloom.train("tests/vae", models.points(), out=tmp_path / "b", **asked)
    options = second.config["model"]["options"]
    assert (options["latent"], options["rate"]) == (5, 0.4)
    old, new = (load_latest(run)[0] for run in (first, second))
    assert all(np.array_equal(new[name], value) for name, value in old.items() if name.startswith("model/"))
    with pytest.raises(RunError, match=r"has shape \(5, 8\) in the checkpoint, \(3, 8\) here"):
        genloom.train("tests/vae", models.points(), out=tmp_path / "c", **{**asked, "options": {"latent": 3}})


@pytest.mark.any_engine
def test_a_dry_run_counts_and_writes_nothing(models: Any, tmp_path: Path) -> None:
    plan = genloom.train("tests/vae", models.points(), out=tmp_path / "run", epochs=2, ema=0.9, dry_run=True, **QUIET)
    encoder, decoder = 4 * 8 + 8 + 8 * 4 + 4, 2 * 8 + 8 + 8 * 4 + 4
    assert plan["parameters"] == {"encoder": encoder, "decoder": decoder, "total": encoder + decoder}
    assert plan["optimizer_values"] == 2 * (encoder + decoder) + 2  # Adam: two moments, a count and a rate
    assert plan["ema_values"] == encoder + decoder
    multiplications = 4 * 8 + 8 * 4 + 2 * 8 + 8 * 4
    assert plan["flops_per_step"] == 3 * 2 * multiplications * 20
    assert (plan["steps"], plan["steps_per_epoch"], plan["shape"]) == (18, 9, [4])
    assert not (tmp_path / "run").exists()


@pytest.mark.any_engine
def test_what_cannot_be_asked_for_is_refused(models: Any, tmp_path: Path) -> None:
    data = models.points()
    for asked, message in (
        ({"epochs": 1, "steps": 1}, "exclude each other"),
        ({"batchsize": 3}, "Did you mean 'batch_size'"),
        ({"resume": True}, "resume needs a run"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"precision": "float16"}, "cannot be 'float16'"),
        ({"preset": "quik"}, "Did you mean 'quick'"),
        (
            {"options": {"clip": 1}},
            r"tests/vae has no option 'clip'\. It is a setting of the training: --set training.clip=",
        ),
        (
            {"latent": 4},
            r"no setting 'latent'\. It is an option of the model: options={'latent': 4} \(--set latent=VALUE\)",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            genloom.train("tests/vae", data, **asked)
    genloom.train("tests/vae", data, out=tmp_path / "run", epochs=1, **QUIET)
    with pytest.raises(ConfigError, match="already holds a run"):
        genloom.train("tests/vae", data, out=tmp_path / "run", epochs=1, **QUIET)
    for changed, name in (
        ({"learning_rate": 0.1}, "--set training.learning_rate"),
        ({"batch_size": 10}, "--batch-size"),
        ({"seed": 4}, "--seed"),
        ({"options": {"latent": 3}}, "--set latent"),
    ):
        with pytest.raises(ConfigError, match=f"Cannot resume .* with a different {name} .* Omit {name}, or"):
            genloom.train("tests/vae", data, out=tmp_path / "run", epochs=2, resume=True, **changed)


def test_a_model_compiled_further_stays_so(models: Any) -> None:
    model = genloom.create("tests/vae", models.points().spec, compile=False)
    model.compile(model.default_optimizers(), jit_compile=True)
    compile_model(model, TrainingSettings(), 10)
    assert model.jit_compile is True
