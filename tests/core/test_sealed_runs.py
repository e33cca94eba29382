"""A checkpoint knows the run's other files: a change is found and refused, unless it is one that a resume may make."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom
from genloom.errors import DamagedRunError, RunError
from genloom.runs import Run, load_latest, manifest
from genloom.runs.sealing import KEY
from genloom.training import write_run

pytestmark = pytest.mark.any_engine

QUIET = {"sample_every": 0, "progress": "none", "batch_size": 16}
FLIPS = {
    "data.spec.value_range": ("    0.0,\n    1.0,", "    0.1,\n    1.0,"),
    "data.spec.shape": ("shape = [\n    4,", "shape = [\n    6,"),
    "data.fingerprint": ('fingerprint = "', 'fingerprint = "0'),
    "model.options.latent": ("latent = 2", "latent = 3"),
    "model.seed": ("seed = 0\n", "seed = 1\n"),
    "training.batch_size": ("batch_size = 16", "batch_size = 17"),
    "training.init_from": ('backend = "', 'init_from = "elsewhere"\nbackend = "'),
    "training.post": ("post = []", 'post = ["clip"]'),
    "training.noise": ('noise = "native"', 'noise = "nativd"'),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    if "training_models" not in sys.modules:
        from genloom.plugins.discovery import load_file

        load_file(Path(__file__).with_name("training_models.py"))
    folder = tmp_path_factory.mktemp("sealed")
    np.savez(folder / "data.npz", x=np.random.default_rng(0).random((60, 4), "float32"))
    return genloom.train(
        "tests/vae", f"npz:{folder / 'data.npz'}?value_range=0,1", steps=3, out=folder / "run", **QUIET
    )


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    return Run(shutil.copytree(trained.path, tmp_path / "run"))


def edit(run: Run, old: str, new: str) -> None:
    text = (run.path / "run.toml").read_text("utf-8")
    assert old in text
    (run.path / "run.toml").write_text(text.replace(old, new, 1), "utf-8")


def rewrite(run: Run, **changes: Any) -> None:
    """Seal the newest manifest anew with other fields; None takes one out."""
    path = run.latest() / manifest.MANIFEST
    content = json.loads(path.read_bytes()) | changes
    content.pop(manifest.SEAL)
    path.write_bytes(manifest.seal({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize("name", FLIPS)
def test_what_changed_in_a_configuration_is_named_with_both_values(name: str, run: Run) -> None:
    edit(run, *FLIPS[name])
    with pytest.raises(DamagedRunError, match=rf"run\.toml' says {name} = .*, the checkpoint "):
        load_latest(run)
    with pytest.raises(DamagedRunError):
        genloom.load(run)


def test_a_resume_refuses_a_changed_configuration_and_leaves_it(run: Run) -> None:
    edit(run, *FLIPS["data.spec.value_range"])
    before = (run.path / "run.toml").read_bytes()
    with pytest.raises(genloom.errors.GenLoomError, match=r"value_range|in \[?0"):
        genloom.train("tests/vae", Run(run.path).address, steps=5, out=run.path, resume=True, **QUIET)
    assert (run.path / "run.toml").read_bytes() == before


def test_a_resume_refuses_another_run_to_start_from(run: Run, tmp_path: Path) -> None:
    went_on = genloom.train(
        "tests/vae", run.address, steps=1, init_from=run.path, post=["clip"], out=tmp_path / "next", **QUIET
    )
    again = {"model": "tests/vae", "out": went_on.path, "resume": True, "steps": 2}
    with pytest.raises(genloom.errors.ConfigError, match=r"different --post \(run: \['clip'\], asked: \[\]\)"):
        genloom.train(**again, post=[])
    edit(went_on, f'init_from = "{run.path}"', f'init_from = "{shutil.copytree(run.path, tmp_path / "other")}"')
    with pytest.raises(DamagedRunError, match=r"says training\.init_from = .*other\", the checkpoint .*run\""):
        genloom.train(**again)


def test_what_may_change_is_not_sealed(run: Run) -> None:
    edit(run, "steps = 3\n", "steps = 4\n")
    edit(run, 'address = "npz:', 'address = "npz:/moved')
    edit(run, "keep = ", "keep = 1")
    assert load_latest(run)[1]["step"] == 3


def test_a_run_goes_on_for_longer_and_is_sealed_anew(run: Run) -> None:
    went_on = genloom.train("tests/vae", run.address, steps=5, out=run.path, resume=True, **QUIET)
    assert load_latest(went_on)[1]["step"] == 5


def test_an_old_checkpoint_without_a_seal_is_loaded(run: Run) -> None:
    rewrite(run, **{KEY: None})
    edit(run, *FLIPS["model.seed"])
    assert load_latest(run)[1]["step"] == 3


@pytest.mark.parametrize("sealed", [3, [], {"config": 3}, {"config": {}, "files": []}], ids=str)
def test_a_seal_that_is_none_is_refused(sealed: object, run: Run) -> None:
    rewrite(run, **{KEY: sealed})
    with pytest.raises(RunError, match="does not record what it protects"):
        load_latest(run)


def test_one_bit_of_a_kept_file_is_found(run: Run, tmp_path: Path) -> None:
    model = genloom.load(run)
    kept = write_run("tests/vae", model, tmp_path / "kept", files={"tokenizer.json": b'{"a": 0}'})
    assert load_latest(kept)[1]["step"] == 0
    file = kept.path / "tokenizer.json"
    file.write_bytes(b'{"a": 1}')
    with pytest.raises(DamagedRunError, match=r"tokenizer\.json' is damaged: its hash"):
        genloom.load(kept)
    file.unlink()
    with pytest.raises(DamagedRunError, match=r"tokenizer\.json' cannot be read"):
        load_latest(kept)
