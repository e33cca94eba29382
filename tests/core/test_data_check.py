"""`data check` counts what was planted: leaks, repeats, constant samples, NaN, rare classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from genloom.cli import output
from genloom.cli.data import data
from genloom.data import ArraySplit, Dataset, DataSpec
from genloom.data.check import check, inspect
from genloom.data.sources.digits import open_digits
from genloom.data.sources.toy import open_toy
from genloom.errors import ConfigError, DataError

pytestmark = pytest.mark.any_engine


def planted() -> Dataset:
    """600 train and 20 test pictures: 2 repeats, 3 leaks, 1 constant, 1 NaN, 1 beyond the range, 1 of a rare class."""
    x = np.random.default_rng(0).uniform(0.1, 0.9, (600, 4, 4, 1)).astype(np.float32)
    x_test = np.random.default_rng(1).uniform(0.1, 0.9, (20, 4, 4, 1)).astype(np.float32)
    x[[5, 599]] = x[7]
    x_test[[0, 1, 2]] = x[[10, 300, 7]]
    x[20], x[21, 0, 0], x[22, 1, 1] = 0.5, np.nan, 2.0
    label = np.arange(600) % 2
    label[30] = 2
    names = ("even", "odd", "rare")
    spec = DataSpec((4, 4, 1), classes=3, class_names=names, class_frequencies=(0.5, 0.498, 0.002))
    return Dataset("planted", spec, ArraySplit(x, label), ArraySplit(x_test, np.arange(20) % 2), "0" * 16)


def test_numbers_of_tokens_have_no_mean(monkeypatch):
    tokens = np.arange(40, dtype=np.int32).reshape(10, 4) % 7
    spec = DataSpec((4,), kind="text", dtype="int32", value_range=None, vocabulary=7, maximum_length=4)
    dataset = Dataset("tokens", spec, ArraySplit(tokens[:8]), ArraySplit(tokens[8:]), "f1d0")
    found = inspect(dataset)
    assert [found["train"][name] for name in ("samples", "minimum", "maximum", "mean", "deviation")] == [8, *[None] * 4]
    assert found["treatment"] == "Models see the tokens as they are."
    monkeypatch.setattr("genloom.data.check.check", lambda source, out: found)
    shown = CliRunner().invoke(data, ["check", "tokens"]).stdout.splitlines()
    assert shown[3] == "split\tsamples\tdtype\tconstant\tduplicates\tnan\tout_of_range"


def test_planted_faults_are_counted():
    report = inspect(planted())
    train = report["train"]
    assert {key: train[key] for key in ("samples", "constant", "duplicates", "nan", "out_of_range")} == {
        "samples": 600,
        "constant": 1,
        "duplicates": 2,
        "nan": 1,
        "out_of_range": 1,
    }
    assert train["classes"] == {"even": 299, "odd": 300, "rare": 1}
    assert report["leaked"] == 3
    assert train["maximum"] == 2.0
    assert report["test"]["duplicates"] == 0
    text = " ".join(report["warnings"])
    for words in (
        "1 samples with NaN",
        "2 repeated samples in train",
        "3 test samples are also in train",
        "Class rare has 1",
    ):
        assert words in text


def test_digits_are_clean_and_summed_up_exactly():
    dataset = open_digits()
    report = inspect(dataset)
    x = dataset.train.arrays()["x"].astype(np.float64)
    assert report["warnings"] == []
    assert report["leaked"] == 0
    assert report["schema_version"] == 1
    assert report["fingerprint"] == dataset.fingerprint
    assert report["train"]["mean"] == pytest.approx(x.mean(), rel=1e-12)
    assert report["train"]["deviation"] == pytest.approx(x.std(), rel=1e-9)
    assert sum(report["test"]["classes"].values()) == 500
    assert DataSpec.from_dict(report["spec"]) == dataset.spec
    assert json.loads(json.dumps(report)) == report


def test_the_grid_shows_training_pictures(tmp_path):
    dataset = open_digits()
    out = tmp_path / "sub" / "grid.png"
    assert inspect(dataset, out)["out"] == str(out)
    pixels = np.asarray(Image.open(out))
    assert pixels.shape == (8 * 50 - 2, 8 * 50 - 2)  # 8 × 8 pixels six times as large, two between
    x = dataset.train.take([0, 1297 * 63 // 64])["x"][..., 0]
    np.testing.assert_array_equal(pixels[:48:6, :48:6], np.rint(x[0] * 255))
    np.testing.assert_array_equal(pixels[-48::6, -48::6], np.rint(x[1] * 255))


def test_every_kind_that_has_pictures_is_drawn(tmp_path):
    points = tmp_path / "points.png"
    inspect(open_toy("8-ring", n=10), points)
    with Image.open(points) as drawn:
        assert drawn.size == (480, 480)
    with pytest.raises(ConfigError, match=r"grid\.jpg"):
        inspect(open_digits(), tmp_path / "grid.jpg")


def test_check_opens_addresses(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.eye(4))
    report = check(f"npz:{tmp_path / 'x.npz'}")
    assert report["train"]["samples"] == 3
    assert report["train"]["minimum"] == 0
    assert report["train"]["maximum"] == 1


def test_labels_that_are_no_class_are_refused() -> None:
    x = np.random.default_rng(0).random((4, 2), "float32")
    spec = DataSpec((2,), kind="signal", classes=2)
    wrong = Dataset("mine", spec, ArraySplit(x, [0, 1, 2, 1]), ArraySplit(x[:1] + 1, [0]), "0" * 16)
    with pytest.raises(DataError, match="from 0 to 2, the data's spec has 2 classes"):
        inspect(wrong)


def test_values_that_span_little_of_their_range_are_warned_of() -> None:
    masks = np.random.default_rng(0).integers(0, 2, (20, 8, 8), dtype=np.uint8)
    (warning,) = check(masks)["warnings"]
    assert "run from 0 to 0.003922, less than a tenth of the range 0 to 1." in warning and "value_range=" in warning
    assert check(masks, value_range=(0, 1))["warnings"] == []
    levels = np.random.default_rng(0).integers(0, 10, (20, 8, 8))
    assert "run from 0 to 9, less than a tenth of the range 0 to 255" in check(levels)["warnings"][0]


@pytest.mark.parametrize(("classes", "rows", "said"), [(1000, 2, "998 of 1000 classes"), (20, 20, "")])
def test_of_many_classes_only_those_that_occur_are_listed(tmp_path, classes: int, rows: int, said: str) -> None:
    from click.testing import CliRunner

    from genloom.cli.data import check as command

    x = np.random.default_rng(0).normal(size=(20, 3))
    np.savez(tmp_path / "x.npz", x=x, label=[7, 9] * 10)
    done = CliRunner().invoke(command, [f"npz:{tmp_path / 'x.npz'}?classes={classes}"])
    table = [line for line in done.stdout.splitlines() if line.split("\t")[0].isdigit()]
    assert len(table) == rows and "7\t10\t0" in table
    assert (f"{said} have no samples." in done.stdout) == bool(said)
    assert (f"{said} have no training sample." in done.stderr) == bool(said)
    assert ("Class 3 has 0" in done.stderr) == (not said)


@pytest.mark.parametrize("columns", ["80", "50"])
def test_numbers_are_whole_at_the_width_of_a_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    with monkeypatch.context() as opened:
        opened.setattr("genloom.data.check.open_dataset", lambda source: planted())
        text = CliRunner().invoke(data, ["check", "planted"]).stdout
    train = inspect(planted())["train"]
    numbers = [f"{train[name]:.4g}" for name in ("minimum", "maximum", "mean", "deviation")]
    assert set(numbers) <= set(text.split())
    tables = [line for line in text.splitlines() if line.lstrip().startswith(("split", "train", "test"))]
    assert len(tables) >= 6 and max(map(len, tables)) <= int(columns)


def test_a_number_beside_long_words_is_not_cut(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    cells = ["120,000/240,000", "-1.2345e-05", "0.1234 ± 0.05"]
    output.table(("words", "a", "b", "c"), [("many words " * 9, *cells)])
    drawn = capsys.readouterr().out
    assert all(cell in drawn for cell in cells)


def test_of_very_many_samples_some_are_read_and_that_is_said(monkeypatch):
    monkeypatch.setattr("genloom.data.check.MOST_READ", 100)
    monkeypatch.setattr("genloom.data.summary.MOST_READ", 100)
    x = np.arange(600.0)[:, None].astype("float32")
    found = inspect(Dataset("many", DataSpec((1,), kind="signal"), ArraySplit(x), ArraySplit(x[:50]), "f1d0"))
    train = found["train"]
    assert (train["samples"], train["minimum"], train["maximum"], train["duplicates"]) == (600, 0.0, 594.0, 0)
    assert train["mean"] == 297.0
    assert found["leaked"] == 9  # of the samples that were read: 0, 6, … 48
    assert [line for line in found["warnings"] if line.startswith("Read ")] == [
        "Read 100 of 600 samples of train, evenly spaced; counts are of those."
    ]
