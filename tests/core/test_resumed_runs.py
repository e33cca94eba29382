"""What a run was begun with is part of it: a resume restores it or refuses another, and records what changed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom
from genloom.cli.failures import guarded
from genloom.cli.main import cli
from genloom.errors import ConfigError, DamagedRunError, DataError
from genloom.plugins.discovery import load_file
from genloom.runs import Run, list_runs, load_latest
from genloom.runs.stretches import history
from genloom.training import write_run
from genloom_adapt import ancestors

# Of the first three, tests/end_to_end/test_remedies_in_runs.py resumes runs on every engine.
ELSEWHERE = ("replay:share=0.5", "agem", "ewc:strength=1,samples=8")
REMEDIES = (*(pytest.param(remedy, marks=pytest.mark.any_engine) for remedy in ELSEWHERE), "l2sp", "lwf", None)
QUIET = {"sample_every": 0, "progress": "none", "batch_size": 16}


@pytest.fixture(scope="module", autouse=True)
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).with_name("training_models.py"))
    return sys.modules["training_models"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("begun")
    for number, name in enumerate(("old", "new")):
        np.savez(made / f"{name}.npz", x=np.random.default_rng(number).random((60, 4), "float32"))
    return made


@pytest.fixture(scope="module")
def base(folder: Path, models: Any) -> Run:
    return genloom.train("tests/vae", data(folder, "old"), steps=3, out=folder / "base", **QUIET)


def data(folder: Path, name: str) -> str:
    return f"npz:{folder / name}.npz"


def arrays(run: Run) -> dict[str, Any]:
    return load_latest(run)[0]


def called(*words: Any) -> int:
    given = [str(word) for word in words]
    return guarded(lambda: cli.main(given, prog_name="genloom", standalone_mode=False), given)


@pytest.mark.parametrize("remedy", REMEDIES)
def test_a_resume_that_names_nothing_goes_on_with_all_that_the_run_was_begun_with(
    remedy: str | None, base: Run, folder: Path, tmp_path: Path
) -> None:
    asked = {"init_from": base.path, "retain": remedy, "checkpoint_every": 1, **QUIET}
    whole = genloom.train("tests/vae", data(folder, "new"), steps=9, out=tmp_path / "whole", **asked)
    genloom.train("tests/vae", data(folder, "new"), steps=4, out=tmp_path / "parts", **asked)
    parts = genloom.train("tests/vae", data(folder, "new"), steps=9, out=tmp_path / "parts", resume=True)
    assert parts.config["training"] == whole.config["training"]
    assert parts.config["training"]["init_from"] == str(base.path)
    first, second = arrays(whole), arrays(parts)
    assert first.keys() == second.keys()
    assert [name for name in first if not np.array_equal(first[name], second[name])] == []


def test_a_model_object_is_no_teacher_of_itself(base: Run, folder: Path, models: Any, tmp_path: Path) -> None:
    model = genloom.load(base)
    model.trainable = True
    asked = {"init_from": base.path, "retain": "lwf", "out": tmp_path / "x", **QUIET}
    with pytest.raises(ConfigError, match=r"a model object is there once\. Train it by its id"):
        genloom.train(model, data(folder, "new"), steps=1, **asked)
    assert model.trainable_variables  # a teacher would be frozen


def test_a_run_that_was_stopped_before_its_first_checkpoint_begins_at_the_same_weights(
    base: Run, folder: Path, tmp_path: Path
) -> None:
    asked = {"init_from": base.path, "retain": "replay", **QUIET}
    whole = genloom.train("tests/vae", data(folder, "new"), steps=3, out=tmp_path / "run", **asked)
    was = arrays(whole)
    shutil.rmtree(whole.path / "checkpoints")
    whole.rewind_log(0)
    again = arrays(genloom.train("tests/vae", data(folder, "new"), out=whole.path, resume=True))
    assert [name for name in was if not np.array_equal(was[name], again[name])] == []


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("written", "instead", "told"),
    [
        ("keep = 2", 'keep = "two"', r"'training\.keep' needs a whole number, got 'two'"),
        ("latent = 2", 'latent = "x"', "'latent' needs a whole number, got 'x'"),
        ('progress = "none"', 'progress = "loud"', r"'training\.progress' cannot be 'loud'"),
    ],
)
def test_a_setting_of_a_wrong_type_is_laid_to_its_file(
    written: str, instead: str, told: str, base: Run, folder: Path, tmp_path: Path
) -> None:
    file = Path(shutil.copytree(base.path, tmp_path / "run")) / "run.toml"
    file.write_text(file.read_text().replace(written, instead))
    for asked in ({"resume": True, "out": file.parent}, {"init_from": file.parent, "out": tmp_path / "new"}):
        with pytest.raises(DamagedRunError, match=rf"^'{file}' is not a valid configuration: Option {told}"):
            genloom.train("tests/vae", data(folder, "old"), steps=4, **asked)


def test_a_resume_without_a_remedy_s_memory_needs_the_first_run_no_more(
    base: Run, folder: Path, tmp_path: Path
) -> None:
    first = Path(shutil.copytree(base.path, tmp_path / "first"))
    for remedy, goes_on in (("l2sp", True), ("replay", False)):
        asked = {"init_from": first, "retain": remedy, **QUIET}
        genloom.train("tests/vae", data(folder, "new"), steps=3, out=tmp_path / remedy, **asked)
        first.rename(tmp_path / "moved")
        asked = {"out": tmp_path / remedy, "resume": True, "steps": 4}
        if goes_on:
            run = genloom.train("tests/vae", data(folder, "new"), **asked)
            assert run.config["training"]["init_from"] == str(first)
        else:
            with pytest.raises(ConfigError, match=f"{first}' is not a run"):
                genloom.train("tests/vae", data(folder, "new"), **asked)
        (tmp_path / "moved").rename(first)


@pytest.mark.any_engine
@pytest.mark.parametrize("remedy", ["replay", "agem", "ewc"])
def test_a_remedy_without_old_data_is_refused(remedy: str, models: Any, folder: Path, tmp_path: Path) -> None:
    written = write_run("tests/vae", genloom.create("tests/vae", models.SPEC, compile=False), tmp_path / "written")
    with pytest.raises(DataError, match=rf"{remedy} needs earlier training data: '{written.path}' names none"):
        genloom.train("tests/vae", models.points(), init_from=written.path, retain=remedy, out=tmp_path / "x", **QUIET)
    anchored = {"init_from": written.path, "retain": "l2sp", "out": tmp_path / "y", "steps": 1, **QUIET}
    assert genloom.train("tests/vae", models.points(), **anchored).exists


@pytest.mark.any_engine
@pytest.mark.parametrize("dry_run", [True, False])
def test_flags_that_change_nothing_that_is_trained_are_refused(
    dry_run: bool, base: Run, folder: Path, tmp_path: Path
) -> None:
    run = Run(shutil.copytree(base.path, tmp_path / "run"))
    before = (run.path / "run.toml").read_bytes()
    for asked, message in (
        ({"preset": "quick"}, "a different --preset (run: None, asked: 'quick'). Omit --preset"),
        ({"init_from": base.path}, f"a different --init-from (run: None, asked: '{base.path}'). Omit --init"),
        ({"options": {"latent": 3}}, "a different --set latent (run: 2, asked: 3). Omit --set latent"),
        ({"retain": "l2sp", "init_from": base.path}, "a different --init-from"),
    ):
        with pytest.raises(ConfigError) as caught:
            genloom.train(
                "tests/vae", data(folder, "old"), out=run.path, resume=True, steps=9, dry_run=dry_run, **asked
            )
        assert message in str(caught.value)
        assert (run.path / "run.toml").read_bytes() == before


@pytest.mark.any_engine
def test_options_that_are_named_again_leave_the_others_as_they_were(folder: Path, tmp_path: Path) -> None:
    asked = {"options": {"latent": 1, "rate": 0.1}, "out": tmp_path / "run", **QUIET}
    genloom.train("tests/vae", data(folder, "old"), steps=1, **asked)
    asked |= {"options": {"rate": 0.1}, "resume": True}
    run = genloom.train("tests/vae", data(folder, "old"), steps=2, **asked)
    assert run.config["model"]["options"] == {"latent": 1, "rate": 0.1, "conditional": False}


@pytest.mark.any_engine
def test_what_changed_while_a_run_was_trained_stays_written(
    base: Run, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run(shutil.copytree(base.path, tmp_path / "run"))
    (begun,) = run.config["stretches"]
    assert (begun["step"], begun["steps"], begun["data"]) == (0, 3, data(folder, "old"))
    assert begun["genloom"] == genloom.__version__ and {"keras", "python", "backend", "engine", "machine"} <= {*begun}
    assert history(run.config) is None
    older = {**begun, "genloom": "0.0.1", "plugins": {**begun["plugins"], "genloom-vae": "9.9.9"}, "machine": "a Cray"}
    run.write_config({**run.config, "stretches": [older]})
    for steps in (5, 5, 6):  # the second has nothing left to do
        genloom.train("tests/vae", data(folder, "old"), out=run.path, resume=True, steps=steps)
    first, *later = run.config["stretches"]
    assert first == older
    assert [(each["step"], each["steps"]) for each in later] == [(3, 5), (5, 6)]
    assert {**later[0], "step": 0, "steps": 3} == begun
    changed = f"genloom 0.0.1 → {genloom.__version__}"
    told = [line for line in capfd.readouterr().err.splitlines() if "run.toml records both" in line]
    assert len(told) == 1 and "from step 3 on, the run uses " in told[0] and changed in told[0]
    line = list_runs(run.path)[0]["history"]
    assert line.startswith("from step 3: steps 3 → 5, machine a Cray → ") and line.endswith(
        "; from step 5: steps 5 → 6"
    )
    assert changed in line
    assert called("runs", run.path) == 0
    assert f"{run.path}: its settings changed during training, {line}.\n" in capfd.readouterr().err
    assert called("report", run.path) == 0
    assert "from step 5: steps 5 → 6" in (run.path / "report.html").read_text()
    assert called("train", "--config", run.path / "run.toml", "--dry-run", "--out", tmp_path / "again") == 0


@pytest.mark.any_engine
def test_a_run_that_goes_on_unchanged_has_one_stretch(folder: Path, tmp_path: Path) -> None:
    asked = {"out": tmp_path / "run", "checkpoint_steps": 1, **QUIET}
    run = genloom.train("tests/vae", data(folder, "old"), steps=2, **asked)
    shutil.rmtree(run.latest())
    genloom.train("tests/vae", data(folder, "old"), resume=True, **asked)
    assert [stretch["step"] for stretch in run.config["stretches"]] == [0]


@pytest.mark.any_engine
def test_runs_that_come_from_each_other_in_a_circle_are_refused_with_the_chain(
    base: Run, folder: Path, tmp_path: Path
) -> None:
    first, second = (Run(shutil.copytree(base.path, tmp_path / name)) for name in ("first", "second"))
    for run, before in ((first, second), (second, first)):
        run.write_config({**run.config, "training": {**run.config["training"], "init_from": str(before.path)}})
    chain = f"in a circle: {first.path} ← {second.path} ← {first.path}. Mend init_from"
    with pytest.raises(ConfigError) as caught:
        ancestors(first)
    assert chain in str(caught.value)
    with pytest.raises(DamagedRunError, match=r"says training\.init_from = .*second"):  # the checkpoint knows better
        genloom.train("tests/vae", data(folder, "new"), init_from=first.path, retain="replay", out=tmp_path / "x")
    second.write_config({**second.config, "training": {**base.config["training"], "init_from": str(second.path)}})
    with pytest.raises(ConfigError, match=f"in a circle: {second.path} ← {second.path}"):
        ancestors(second)
