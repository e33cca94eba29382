"""Post-processing as a user meets it: kept in a run, applied by every command, shown and measured in the report."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.any_engine, pytest.mark.long]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("post")


@pytest.fixture(scope="module")
def command(folder: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]) -> Command:
    def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = run_python("from genloom.cli.main import main; main()", *words, env=dict(os.environ), cwd=folder)
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def ring(command: Command, folder: Path) -> Path:
    """A GAN of a ring of eight points that rejects half of what it draws."""
    words = ("gan/mlp", "--data", "toy:8-ring", "--steps", "1000", "--set", "training.sample_every=0")
    command("train", *words, "--post", "post/reject:keep=0.5", "--out", "ring")
    return folder / "ring"


def test_a_run_applies_its_own_chain_until_told_otherwise(command: Command, ring: Path, folder: Path) -> None:
    done = command("sample", "ring", "-n", "400", "--out", "kept.npz")
    assert "made 200 of 400 samples" in done.stderr
    command("sample", "ring", "-n", "400", "--no-post", "--out", "raw.npz")
    kept, raw = np.load(folder / "kept.npz"), np.load(folder / "raw.npz")
    assert (len(kept["samples"]), len(raw["samples"])) == (200, 400)
    # Each sample that is left is the one that its seed draws.
    assert np.array_equal(kept["samples"], raw["samples"][kept["seeds"][:, 1]])
    command("sample", "ring", "-n", "20", "--post", "clip:low=-0.5,high=0.5", "--out", "clipped.npz")
    clipped = np.load(folder / "clipped.npz")["samples"]
    assert len(clipped) == 20 and np.abs(clipped).max() <= 0.5


def test_rejection_by_the_discriminator_brings_samples_nearer_to_the_data(command: Command, ring: Path) -> None:
    document = json.loads(
        command("evaluate", "ring", "--metric", "fd-pca20", "--metric", "mode-share", "--json").stdout
    )
    before = {entry["name"]: entry["value"] for entry in document["results"] if entry["role"] == "score"}
    after = {entry["name"]: entry["value"] for entry in document["results"] if entry["role"] == "post"}
    # The distance of two moments is near 0 for any ring of this radius; how near the modes are is seen by their share.
    assert after["mode-share"] > 1.3 * before["mode-share"]
    command("report", "ring")
    page = (ring / "report.html").read_text()
    section = page[page.index("Post-processing") :]
    assert "post/reject:keep=0.5" in section
    for name, value in after.items():
        assert name in section
        assert f"{value:.3g}"[:4] in section


def test_mistakes_are_said_before_anything_is_trained_or_drawn(command: Command, ring: Path) -> None:
    train = ("train", "gan/mlp", "--data", "toy:8-ring", "--out", "other")
    assert "takes image, got signal" in command(*train, "--post", "upscale", code=2).stderr
    assert "post/reject" in command(*train, "--post", "post/rejct", code=4).stderr
    assert "exclude each other" in command("sample", "ring", "--post", "clip", "--no-post", code=2).stderr
    assert not (ring.parent / "other").exists()
