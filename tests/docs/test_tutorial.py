"""docs/tutorial.md from its first listing to its last, its trainings cut short; what takes no training is compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

LOSSES = re.compile(r"  ([a-z_]+) ")
LISTING = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
pytestmark = pytest.mark.skipif(
    "GENLOOM_EXAMPLES" not in os.environ, reason="its twelve processes take a minute: in `nox -s docs`"
)


def commands(folder: Path) -> Path:
    """Return a folder of the commands `genloom` and `python`, on the packages of this process."""
    lines = {
        "genloom": f"#!{sys.executable}\nfrom genloom.cli.main import main\nmain()\n",
        "python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n',
    }
    folder.mkdir()
    for name, text in lines.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def test_the_tutorial_runs_and_prints_what_it_says(
    repository: Path, tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]
) -> None:
    env = subprocess_env(PATH=f"{commands(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}")
    printed, shown = [""], []
    for language, name, body in LISTING.findall((repository / "docs" / "tutorial.md").read_text("utf-8")):
        if language == "python":
            (tmp_path / name).write_text(body, "utf-8")
        elif language == "text":
            shown.append((body, printed[-1]))
        else:
            short = body.replace("--epochs 60", "--epochs 1")
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", short],
                cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=900,
            )  # fmt: skip
            assert done.returncode == 0, f"{body}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            printed.append(done.stdout + done.stderr)
    check, _, training, comparison = shown
    assert check[0] in check[1]
    said, first = (LOSSES.findall(next(line for line in text.splitlines() if "epoch " in line)) for text in training)
    assert said[: len(first)] == first and "reconstruction" in first  # held-out losses follow at a later epoch
    measures = {line.split("\t")[0] for line in comparison[1].splitlines()}
    assert {line.split("\t")[0] for line in comparison[0].splitlines()} <= measures
    drawn = sorted(path.name for path in (tmp_path / "threes").iterdir())
    assert drawn == [f"00{i}-digit-3.png" for i in range(5)]
    for made in ("pictures.png", "vae.png", "gan.png", "reconstructed.png", "comparison.html", "runs/vae/report.html"):
        assert (tmp_path / made).stat().st_size > 500, made
