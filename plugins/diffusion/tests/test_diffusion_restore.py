"""`genloom restore`: what is known of a sample stays as it is, and what cannot be known is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import genloom
from genloom import DataSpec
from genloom.errors import ConfigError
from genloom.training import write_run
from genloom_diffusion.command import mask_of, restore

pytestmark = pytest.mark.any_engine

FEW = ("--data", "digits", "-n", "2", "--steps", "4", "--particles", "2")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("restore") / "run"
    spec = genloom.data.open("digits").spec
    model = genloom.create("diffusion/flow", spec, channels=(8,), blocks=1, patch=2, embedding=8)
    write_run("diffusion/flow", model, path)
    return str(path)


@pytest.fixture(scope="module")
def picture() -> np.ndarray[Any, Any]:
    picture: np.ndarray[Any, Any] = genloom.data.open("digits").test.take([5])["x"][0]
    return picture


def restored(run: str, folder: Path, *words: str) -> np.ndarray[Any, Any]:
    out = folder / "found.npz"
    answer = CliRunner().invoke(restore, [run, *FEW, *words, "--row", "5", "--out", str(out), "--json"])
    assert answer.exception is None, answer.output
    assert json.loads(answer.stdout)["n"] == 2
    with np.load(out) as stored:
        return np.asarray(stored["samples"], "float64")


@pytest.mark.parametrize(
    ("half", "kept"),
    [("top", np.s_[:3]), ("bottom", np.s_[3:]), ("left", np.s_[:, :2]), ("right", np.s_[:, 2:])],
)
def test_halves(half: str, kept: Any) -> None:
    expected = np.zeros((6, 4, 1))
    expected[kept] = 1.0
    np.testing.assert_array_equal(mask_of(half, DataSpec((6, 4, 1))), expected)


def test_what_is_white_in_a_mask_stays(run: str, picture: Any, tmp_path: Path) -> None:
    mask = np.zeros((8, 8), "uint8")
    mask[2:5, 1:7] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    found = restored(run, tmp_path, "--known", str(tmp_path / "mask.png"))
    np.testing.assert_allclose(found[:, 2:5, 1:7], np.stack([picture[2:5, 1:7]] * 2), atol=2e-3)
    assert np.abs(found - picture)[:, 5:].max() > 0.1


def test_squares_keep_their_means(run: str, picture: Any, tmp_path: Path) -> None:
    """But for what the value range cuts off: these pictures are black around the digit."""
    found = restored(run, tmp_path, "--factor", "2").reshape(2, 4, 2, 4, 2).mean((2, 4))
    assert np.abs(found - picture.reshape(4, 2, 4, 2).mean((1, 3))).mean() < 0.03
    other = genloom.data.open("digits").test.take([6])["x"][0]
    assert np.abs(found - other.reshape(4, 2, 4, 2).mean((1, 3))).mean() > 0.1


def test_little_strength_changes_little(run: str, picture: Any, tmp_path: Path) -> None:
    found = [np.abs(restored(run, tmp_path, "--strength", s) - picture).mean() for s in ("0.02", "1")]
    assert found[0] < 0.05 < found[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), r"in one way, got none"),
        (("--known", "top", "--factor", "2"), r"got --known and --factor"),
        (("--known", "middle"), r"--known middle is no half and no mask"),
        (("--known", "mask.png"), r"mask.png is 3 × 4, the samples 8 × 8"),
        (("--known", "words.png"), r"--known words.png is no half and no mask"),
        (("--factor", "3"), r"--factor 3 does not divide samples of shape \(8, 8, 1\)"),
        (("--known", "top", "--row", "500"), r"--row 500 is not one of 500 samples"),
        (("--known", "top", "--data", "toy:8-ring"), r"are \(2,\), the run's are \(8, 8, 1\)"),
        (("--known", "top", "--label", "cat"), r"label=cat is no class"),
        (("--known", "top", "--out", "found.doc"), r"cannot be written as '.doc'"),
    ],
)
def test_what_does_not_fit_is_refused(
    run: str, words: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (4, 3)).save("mask.png")
    Path("words.png").write_text("white")
    answer = CliRunner().invoke(restore, [run, *FEW, *words])
    assert isinstance(answer.exception, ConfigError)
    with pytest.raises(ConfigError, match=told):
        raise answer.exception
    assert answer.exception.mend
