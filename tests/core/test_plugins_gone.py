"""A run whose plugins are not here says which, and how they are brought back, whoever looks for their components."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genloom.errors import NotFoundError
from genloom.plugins.registry import find, of_run

pytestmark = pytest.mark.any_engine

Genloom = Callable[..., subprocess.CompletedProcess[str]]

PLUGIN = """
import hashlib
import numpy as np
import genloom
from genloom.data import ArraySplit, Dataset, DataSpec


class Mild(genloom.Preparation):
    kept = True


def same(samples, spec, options):
    return samples, spec


def rows(rest):
    x = np.linspace(0.0, 1.0, 32, dtype="float32").reshape(16, 2)
    spec = DataSpec((2,), kind="signal", value_range=(0.0, 1.0))
    return Dataset("away/rows", spec, ArraySplit(x), ArraySplit(x), hashlib.sha256(x.tobytes()).hexdigest()[:16])


@genloom.hookimpl
def genloom_components():
    return [
        genloom.Component("remedy", "away/mild", "away:Mild", "Mildly."),
        genloom.Component("postprocessor", "away/same", "away:same", "The same."),
        genloom.Component("dataset", "away/rows", "away:rows", "Rows."),
    ]
"""

SETTINGS = ("sample_every=0", "progress=none", "validation=0", "batch_size=4", "steps=1")
QUIET = tuple(word for setting in SETTINGS for word in ("--set", f"training.{setting}"))


def test_what_a_run_was_made_with_is_named_with_its_file(genloom: Genloom, tmp_path: Path) -> None:
    file = tmp_path / "away.py"
    file.write_text(PLUGIN)

    def train(*words: str) -> None:  # in a process of its own, which has loaded no other file
        done = genloom("-p", str(file), "train", "vae/mlp", "--data", "away/rows", *QUIET, *words)
        assert done.returncode == 0, done.stderr

    train("--preset", "tiny", "--out", "base")
    train("--init-from", "base", "--post", "away/same", "--out", "posted")
    train("--init-from", "base", "--retain", "away/mild", "--out", "gentle")
    for command, absent in (
        (("sample", "gentle"), "no remedy 'away/mild'"),
        (("train", "--resume", "--out", "gentle"), "no dataset 'away/rows'"),
        (("evaluate", "posted"), "no postprocessor 'away/same'"),
    ):
        found = genloom(*command)
        assert found.returncode == 4, found.stderr
        way = f"trained with {file}, which is not here. Name it again before the command: genloom -p {file} …"
        assert absent in found.stderr and way in " ".join(found.stderr.split())


STATED = {"versions": {"plugins": {"genloom": "0.1.0", "genloom-away": "1.2", "genloom-far": "0.3"}}}


def test_distributions_that_are_gone_are_named_with_their_versions() -> None:
    with pytest.raises(NotFoundError) as absent, of_run(STATED):
        find("remedy", "far/gentle")
    assert "trained with genloom-away 1.2, genloom-far 0.3, which are not here." in str(absent.value)
    assert str(absent.value).endswith("Install it: genloom install genloom-away==1.2 genloom-far==0.3")


@pytest.mark.parametrize("config", [{}, {"versions": {"plugins": {"genloom": "0.1.0"}}}, {"versions": 3}])
def test_where_nothing_is_gone_the_error_is_as_it_was(config: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError, match=r"no remedy 'far/gentle'") as absent, of_run(config):
        find("remedy", "far/gentle")
    assert "trained with" not in str(absent.value)
