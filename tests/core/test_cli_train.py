"""`genloom train`: which layer a value comes from, and what reaches the trainer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest

from genloom import engine
from genloom.cli.plan import gather, read_config
from genloom.cli.train import train
from genloom.errors import ConfigError
from genloom.runs import create_run

pytestmark = pytest.mark.any_engine

CONFIG = """
[model]
id = "vae/conv"
preset = "tiny"
latent = 4
[model.options]
beta = 2.0
[data]
address = "digits"
[training]
epochs = 5
batch_size = 32
ema = 0.9
"""


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the trainer was called with; it makes a run and trains nothing."""
    import genloom.training.trainer as trainer

    calls: list[dict[str, Any]] = []

    def stand_in(model: str, data: str, **arguments: Any) -> Any:
        calls.append({"model": model, "data": data, **arguments})
        if arguments["dry_run"]:
            return {"model": model, "parameters": {"encoder": 3, "total": 5}}
        made = []
        for seed in arguments.get("seeds") or [arguments.get("seed", 0)]:
            run = create_run(f"{arguments.get('out', 'run')}-{seed}")
            run.write_config(
                {"model": {"id": model}, "data": {"address": data}, "training": {"steps": 1, "seed": seed}}
            )
            if arguments["profile"]:
                (run.path / "profile.json").write_text(json.dumps(PROFILE))
            made.append(run)
        return made if "seeds" in arguments else made[0]

    monkeypatch.setattr(trainer, "train", stand_in)
    return calls


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., click.testing.Result]:
    """Run `genloom train WORD…` in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, **variables: str) -> click.testing.Result:
        result = click.testing.CliRunner(env=variables).invoke(train, list(words), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    return run


def test_flag_beats_environment_beats_file(
    invoke: Callable[..., click.testing.Result], called: list[dict[str, Any]]
) -> None:
    Path("f.toml").write_text(CONFIG)
    words = ["--config", "f.toml", "--set", "latent=8", "--set", "training.clip=1.5", "--batch-size", "16"]
    invoke(*words, GENLOOM_BATCH_SIZE="64", GENLOOM_SEED="7", GENLOOM_EMA="0.5", GENLOOM_CLIP="3")
    assert called == [
        {
            "model": "vae/conv",
            "data": "digits",
            "preset": "tiny",
            "options": {"latent": "8", "beta": 2.0},
            "resume": False,
            "dry_run": False,
            "profile": False,
            "epochs": 5,
            "batch_size": 16,
            "seed": 7,
            "ema": "0.5",
            "clip": "1.5",
        }
    ]


def test_a_folder_of_something_else_is_not_said_to_begin(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    words = ["vae/mlp", "--data", "digits", "--resume", "--out", str(tmp_path / "notes")]
    result = click.testing.CliRunner().invoke(train, words)
    assert str(result.exception).startswith(f"The folder {words[-1]!r} is not empty and is not a run.")
    assert "it begins" not in result.stderr


def test_a_folder_is_no_configuration_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder, no configuration file\. Name a TOML file\."):
        read_config(tmp_path)


def test_steps_of_a_higher_layer_take_away_the_epochs_of_a_lower_one(
    invoke: Callable[..., click.testing.Result], called: list[dict[str, Any]]
) -> None:
    Path("f.toml").write_text(CONFIG)
    invoke("--config", "f.toml", "--steps", "3", GENLOOM_EPOCHS="9")
    assert called[0]["steps"] == 3
    assert "epochs" not in called[0]


def test_words_of_the_command_line_win_over_the_file(
    invoke: Callable[..., click.testing.Result], called: list[dict[str, Any]]
) -> None:
    Path("f.toml").write_text(CONFIG)
    invoke("gan/r3gan", "--data", "toy:8-ring", "--preset", "small", "--config", "f.toml")
    assert [called[0][name] for name in ("model", "data", "preset")] == ["gan/r3gan", "toy:8-ring", "small"]


def test_runs_are_named_on_stdout_and_the_engine_on_stderr(
    invoke: Callable[..., click.testing.Result], called: list[dict[str, Any]]
) -> None:
    engine._say.cache_clear()  # as in a process that has said nothing yet
    result = invoke("vae/conv", "--data", "digits", "--seeds", "1,2", "--out", "r")
    assert called[0]["seeds"] == (1, 2)
    assert result.stdout.split() == ["r-1", "r-2"]
    assert result.stderr.splitlines()[0].startswith("Engine: ")
    document = json.loads(invoke("vae/conv", "--data", "digits", "--out", "j", "--json").stdout)
    assert document["schema_version"] == 1
    assert [(row["path"], row["id"]) for row in document["runs"]] == [("j-0", "vae/conv")]


def test_a_dry_run_prints_the_plan(invoke: Callable[..., click.testing.Result], called: list[dict[str, Any]]) -> None:
    result = invoke("vae/conv", "--data", "digits", "--dry-run")
    assert called[0]["dry_run"] is True
    assert "parameters.total\t5" in result.stdout
    plans = json.loads(invoke("vae/conv", "--data", "digits", "--dry-run", "--json").stdout)["plans"]
    assert plans == [{"model": "vae/conv", "parameters": {"encoder": 3, "total": 5}}]


def test_resume_takes_model_data_and_seed_from_the_run(
    invoke: Callable[..., click.testing.Result], called: list[dict[str, Any]]
) -> None:
    run = create_run("old")
    training = {"steps": 9, "seed": 4, "ema": 0.9, "backend": "no-such-engine"}
    run.write_config({"model": {"id": "vae/conv", "seed": 4}, "data": {"address": "digits"}, "training": training})
    invoke("--resume", "--out", "old")
    assert called[0] == {
        "model": "vae/conv",
        "data": "digits",
        "preset": None,
        "options": {},
        "resume": True,
        "dry_run": False,
        "profile": False,
        "seed": 4,
        "out": "old",
    }


def test_a_run_is_a_configuration_file(tmp_path: Path) -> None:
    run = create_run(tmp_path / "r")
    run.write_config(
        {
            "model": {"id": "vae/conv", "seed": 3, "options": {"latent": 2}},
            "data": {"address": "digits", "fingerprint": "f", "spec": {"shape": [8, 8, 1]}},
            "training": {"epochs": 2, "steps_per_epoch": 10, "clip": 1.0, "backend": "jax"},
            "versions": {"genloom": "0"},
        }
    )
    plan = gather({}, {}, [], read_config(run.path / "run.toml"))
    assert (plan.model, plan.data, plan.backend) == ("vae/conv", "digits", "jax")
    assert plan.options == {"latent": 2}
    assert plan.circumstances == {"seed": 3}
    assert plan.settings == {"epochs": 2, "clip": 1.0}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"training": {"epochs": 1, "steps": 1}}, "epochs=1 and steps=1 exclude each other"),
        ({"training": {"epochs": "x"}}, "Option 'training.epochs' needs a whole number, got 'x'"),
        ({"training": {"batch_size": 0}}, "Option 'training.batch_size' must be at least 1"),
        ({"training": {"clip": -1}}, "Option 'training.clip' must be at least 0.0, got -1"),
        ({"training": {"clpi": 1}}, "Unknown option 'training.clpi'. Did you mean 'training.clip'?"),
        ({"model": {}}, "No model is given"),
    ],
)
def test_a_wrong_configuration_is_named(config: dict[str, Any], message: str) -> None:
    base = {"model": {"id": "m"}, "data": {"address": "digits"}}
    with pytest.raises(ConfigError) as caught:
        gather({}, {}, [], {**base, **config})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("words", "variables", "named"),
    [
        (["--set", "training.clip=x"], {"GENLOOM_CLIP": "1"}, "'training.clip' needs a number or none, got 'x'"),
        ([], {"GENLOOM_CLIP": "-1"}, "'GENLOOM_CLIP' must be at least 0.0, got -1.0"),
        (["--seeds", "1,x"], {}, "'--seeds' needs whole numbers (as in 32 or 32,64) or none, got '1,x'"),
        ([], {"GENLOOM_SEEDS": "1,x"}, "'GENLOOM_SEEDS' needs"),
        ([], {"GENLOOM_EPOCHS": "x"}, "Invalid value for 'GENLOOM_EPOCHS': 'x' is not a valid whole number."),
        (["--epochs", "x"], {"GENLOOM_EPOCHS": "2"}, "Invalid value for '--epochs': 'x'"),
    ],
)
def test_a_wrong_value_is_laid_to_what_gave_it(words: list[str], variables: dict[str, str], named: str) -> None:
    given = click.testing.CliRunner(env=variables).invoke(train, ["vae/conv", "--data", "digits", *words])
    assert given.exit_code != 0
    assert named in f"{given.exception} {given.output}"


def test_an_unknown_table_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text("[trainig]\nepochs = 1\n")
    with pytest.raises(ConfigError, match=r"unknown table 'trainig'. Did you mean 'training'"):
        read_config(file)


def test_a_profile_is_a_table_on_stderr_and_json_beside_the_run(
    invoke: Callable[..., click.testing.Result], called: list[dict[str, Any]]
) -> None:
    shown = invoke("vae/conv", "--data", "digits", "--profile")
    assert shown.stdout == "run-0\n"
    assert "forward and backward         3.000     75%" in shown.stderr
    assert "30.0% of the peak" in shown.stderr
    (row,) = json.loads(invoke("vae/conv", "--data", "digits", "--profile", "--json", "--seed", "1").stdout)["runs"]
    assert row["profile"] == PROFILE


PROFILE = {
    "step_ms": 4.0,
    "data_ms": 0.5,
    "forward_backward_ms": 3.0,
    "optimizer_ms": 0.25,
    "callbacks_ms": 0.125,
    "loop_ms": 0.125,
    "flops_per_step": 1.2e9,
    "peak_flops": 1e12,
    "mfu": 0.3,
    "trace": "run-0/profile",
}
