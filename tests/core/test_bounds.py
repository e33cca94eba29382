"""Every number has a bound that is told, every table its type, and both are looked at before anything is built."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

import genloom
from genloom.cli.failures import guarded
from genloom.cli.main import cli
from genloom.errors import ConfigError, PluginError
from genloom.options import LARGEST, LARGEST_SEED, LARGEST_WHOLE, configure, describe, option
from genloom.plugins.registry import components
from genloom.training import TrainingSettings, write_run
from genloom.training.plan import Plan

pytestmark = pytest.mark.any_engine

DRY = ("train", "vae/mlp", "--data", "digits", "--preset", "tiny", "--dry-run")


def called(*words: Any) -> int:
    given = [str(word) for word in words]
    return guarded(lambda: cli.main(given, prog_name="genloom", standalone_mode=False), given)


def option_classes() -> list[type]:
    found = {component.options for component in components() if component.options}
    return [TrainingSettings, *sorted(found, key=lambda each: each.__qualname__)]


@pytest.mark.parametrize("cls", option_classes(), ids=lambda cls: cls.__qualname__)
def test_every_number_of_every_component_has_a_bound_that_is_told(cls: type) -> None:
    for row in describe(cls):
        kind, default = row["type"], row["default"]
        if not {"int", "float"} & set(kind.replace("[", " ").replace(",", " ").split()) or row["choices"]:
            continue
        if default is not None:
            configure(cls, {row["name"]: default})
        for value in (10**30, -(10**30), *((math.inf, -math.inf, math.nan) if "float" in kind else ())):
            value = 10 * value if "float" in kind else value
            with pytest.raises(ConfigError) as caught:
                configure(cls, {row["name"]: (value,) if "tuple" in kind else value})
            low, high = (row["minimum"], row["maximum"])
            most = LARGEST if "float" in kind else LARGEST_WHOLE
            bound = (high if high is not None else most) if value > 0 else (low if low is not None else -most)
            told = f"at {'most' if value > 0 else 'least'} {bound}, got"
            assert told in str(caught.value) or (math.isnan(value) and ", got" in str(caught.value))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--batch-size", 10**12), "--batch-size' must be at most 1000000, got 1000000000000"),
        (("--epochs", 10**9), "--epochs' must be at most 1000000, got 1000000000"),
        (("--steps", 10**12), "--steps' must be at most 99999999, got 1000000000000"),
        (("--seed", 2**63), "9223372036854775808 is not in the range 0<=x<=9223372036854775807"),
        (("--set", "training.learning_rate=inf"), "must be at most 1e+30, got inf"),
        (("--set", "training.learning_rate=nan"), "needs a number or none, got 'nan'"),
        (("--set", "learning_rate=inf"), "must be at most 1e+30, got inf"),
        (("--set", "latent=100000000000"), "must be at most 1000000, got 100000000000"),
        (("--set", "hidden=32,100000000000"), "must be at most 1000000, got 100000000000"),
        (("--set", "training.sample_count=1000000000000"), "must be at most 1000000, got 1000000000000"),
        (("--init-from", "r", "--adapt", "lora:rank=1000000000000"), "must be at most 1000000, got 1000000000000"),
    ],
)
def test_what_no_machine_holds_is_refused_before_anything_is_built(
    words: tuple[Any, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run("vae/mlp", genloom.create("vae/mlp", genloom.data.open("digits").spec, preset="tiny"), tmp_path / "r")
    for command in (DRY, DRY[:-1]):
        assert called(*command, *words) == 2
        assert told in " ".join(capsys.readouterr().err.split())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["r"]


def test_a_run_numbers_its_steps_with_eight_digits() -> None:
    assert Plan.of(TrainingSettings(epochs=1_000_000), 99).total_steps == 99_000_000
    with pytest.raises(ConfigError, match="of 101 steps are 101000000 steps; at most 99999999 fit"):
        Plan.of(TrainingSettings(epochs=1_000_000), 101)


def test_samples_have_bounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = genloom.create("vae/mlp", genloom.data.open("digits").spec, preset="tiny")
    for asked, told in (
        ({"n": 10**12}, "n must be at most 100000000, got 1000000000000"),
        ({"n": 1, "seed": 2**63}, f"seed must be at most {LARGEST_SEED}, got {2**63}"),
        ({"n": 1, "offset": 10**12}, "offset must be at most 100000000, got 1000000000000"),
        ({"n": 1, "temperature": math.inf}, "'temperature' must be at most 1e+30, got inf"),
    ):
        with pytest.raises(ConfigError) as caught:
            genloom.sample(model, **asked)
        assert told in str(caught.value)
    run = write_run("vae/mlp", model, tmp_path / "run")
    for command in (("sample", run.path, "-n"), ("evaluate", run.path, "-n")):
        assert called(*command, 10**12) == 2
        assert "1000000000000 is not in the range 1<=x<=100000000" in " ".join(capsys.readouterr().err.split())
    assert called("update", run.path, "--data", "digits", "--tolerance", "inf") == 2
    assert "inf is not in the range 0<=x<=1e+30" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model = 3", "'model' in 'c.toml' must be a table, got 3. Write [model], and below it id = \"vae/mlp\"."),
        ("training = []", "'training' in 'c.toml' must be a table, got []"),
        ("[model]\noptions = 'latent'", "'model.options' in 'c.toml' must be a table, got 'latent'"),
        ("[model]\nid = 5", "'model.id' in 'c.toml' must be a string, got 5"),
        ("[data]\naddress = {}", "'data.address' in 'c.toml' must be a string, got {}"),
        ("[training]\nepochs = {}", "'training.epochs' needs a whole number, got {}"),
        ("[model.options]\nlatent = [[1]]", "'latent' needs a whole number, got [[1]]"),
    ],
)
def test_a_table_of_a_configuration_has_its_type(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(text)
    assert called("--traceback", *DRY, "--config", "c.toml") == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_table_of_a_sequence_has_its_type(tmp_path: Path) -> None:
    from genloom_adapt import read_sequence

    tasks = "".join(f"[[tasks]]\nname = '{name}'\ndata = 'digits'\n" for name in "ab")
    for line, told in (("seed = []", "'seed' needs a whole number"), ("options = 3", "'options' needs a table, got 3")):
        (tmp_path / "s.toml").write_text(f"model = 'vae/mlp'\n{line}\n{tasks}")
        with pytest.raises(ConfigError) as caught:
            read_sequence(tmp_path / "s.toml")
        assert told in str(caught.value)


def test_who_needs_more_declares_it() -> None:
    with pytest.raises(PluginError, match="'points': Option 'default' must be at most 1000000, got 5000000"):
        option(5_000_000, "points")

    @dataclasses.dataclass(frozen=True)
    class Wide:
        points: int = option(5_000_000, "points", maximum=10**9)

    assert configure(Wide, {"points": 10**9}).points == 10**9
    with pytest.raises(ConfigError, match="must be at most 1000000000, got 1000000001"):
        configure(Wide, {"points": 10**9 + 1})
