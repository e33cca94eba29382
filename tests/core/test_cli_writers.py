"""What `genloom sample` writes, and how it reads labels, conditions and walks through a latent space."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genloom.cli.conditions import condition, literal
from genloom.data import ArraySplit, Dataset
from genloom.data.samples import Samples
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, DataError
from genloom.modalities.writing import check_ending, write
from genloom.model.family import Family
from genloom.plugins import registry
from genloom.plugins.offers import Component
from genloom.plugins.registry import components
from genloom.sampling.conditions import class_number
from genloom.sampling.latents import arithmetic, interpolate, points_of_walk, reconstruct, traverse

pytestmark = pytest.mark.any_engine

IMAGES = DataSpec((4, 4, 1), classes=3, class_names=("cat", "dog", "owl"), condition=("label",))
POINTS = DataSpec((2,), kind="signal", value_range=None)


@pytest.fixture
def images() -> Samples:
    """Three images of one grey each, classes 2, 0, 1."""
    samples = np.stack([np.full((4, 4, 1), grey, np.float32) for grey in (1.0, 0.0, 0.5)])
    return Samples(samples, IMAGES, np.array([2, 0, 1], np.int32), np.array([[9, 0], [9, 1], [9, 2]]))


def test_npz_holds_what_was_drawn(images: Samples, tmp_path: Path) -> None:
    with np.load(write(images, tmp_path / "new" / "s.npz")) as content:
        assert sorted(content) == ["class_names", "labels", "samples", "seeds"]
        assert content["class_names"][content["labels"]].tolist() == ["owl", "cat", "dog"]
        np.testing.assert_array_equal(content["samples"], images.samples)
        np.testing.assert_array_equal(content["labels"], [2, 0, 1])
        np.testing.assert_array_equal(content["seeds"], images.seeds)
    with np.load(write(images.replace(labels=None), tmp_path / "unlabelled.npz")) as content:
        assert sorted(content) == ["samples", "seeds"]


def test_a_grid_stands_in_the_order_of_classes(images: Samples, tmp_path: Path) -> None:
    with Image.open(write(images, tmp_path / "s.png")) as picture:
        pixels = np.asarray(picture)
    middle = 24  # tiles are 48 pixels wide and 2 apart, two in a row
    assert [pixels[middle, middle], pixels[middle, middle + 50], pixels[middle + 50, middle]] == [0, 128, 255]


def test_a_gif_has_one_frame_per_image(images: Samples, tmp_path: Path) -> None:
    with Image.open(write(images, tmp_path / "s.gif")) as animation:
        assert animation.n_frames == 3


def test_csv_has_names_values_and_labels(tmp_path: Path) -> None:
    points = np.array([[0.25, -1.0], [3.0, 0.5]], np.float32)
    file = write(Samples(points, POINTS.replace(classes=2), np.array([1, 0])), tmp_path / "s.csv")
    assert file.read_text() == "x0,x1,label\n0.25,-1.0,1\n3.0,0.5,0\n"
    named = POINTS.replace(kind="table", columns=("age", "height"))
    assert write(Samples(points, named), tmp_path / "t.csv").read_text().startswith("age,height\n0.25,-1.0\n")


def test_a_folder_gets_one_file_each(images: Samples, tmp_path: Path) -> None:
    folder = write(images, tmp_path / "many")
    assert sorted(file.name for file in folder.iterdir()) == ["000-owl.png", "001-cat.png", "002-dog.png"]
    with Image.open(folder / "000-owl.png") as picture:
        assert np.asarray(picture).min() == 255


def test_a_folder_of_earlier_samples_is_refused_before_drawing(images: Samples, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    folder = write(images, tmp_path / "many")
    for attempt in (check_ending, images.take([0]).save):
        with pytest.raises(ConfigError, match="is not empty: new samples would stand among"):
            attempt(folder)
    assert len(list(folder.iterdir())) == 3


def test_files_are_named_after_classes_whatever_those_are_called(images: Samples, tmp_path: Path) -> None:
    odd = images.replace(spec=IMAGES.replace(class_names=("../cat", "a/b c", "猫")))
    assert sorted(file.name for file in odd.save(tmp_path / "odd").iterdir()) == [
        "000-猫.png",
        "001-cat.png",
        "002-a-b-c.png",
    ]
    numbered = images.replace(spec=IMAGES.replace(class_names=()))
    assert sorted(file.name for file in numbered.save(tmp_path / "numbered").iterdir()) == [
        "000-2.png",
        "001-0.png",
        "002-1.png",
    ]


def test_samples_are_saved_from_python_as_by_the_command(images: Samples, tmp_path: Path) -> None:
    for ending in ("png", "npz", "gif"):
        written = images.save(str(tmp_path / f"a.{ending}"))
        assert written == tmp_path / f"a.{ending}"
        assert written.read_bytes() == write(images, tmp_path / f"b.{ending}").read_bytes()
    with pytest.raises(ConfigError, match="name a folder"):
        images.save(tmp_path / "a.jpg")


def test_samples_show_themselves_as_a_picture(images: Samples) -> None:
    picture = images.grid()
    assert picture.size == (98, 98)
    assert [picture.getpixel(place) for place in ((24, 24), (74, 24), (24, 74))] == [0, 128, 255]  # by class
    shown = images._repr_png_()
    assert shown is not None
    with Image.open(io.BytesIO(shown)) as opened:
        np.testing.assert_array_equal(np.asarray(opened), np.asarray(picture))
    texts = Samples(np.array([["to be"]]), DataSpec((1,), kind="text", dtype="str"))
    assert texts._repr_png_() is None
    with pytest.raises(ConfigError, match="no picture"):
        texts.grid()


def test_samples_describe_themselves_in_one_line(images: Samples) -> None:
    assert repr(images) == "Samples(3 of kind image, 4 × 4 × 1, labels cat/dog/owl, seed 9, numbers 0 to 2)"
    many = images.replace(spec=IMAGES.replace(class_names=()), seeds=np.array([5, 6, 9]))
    assert repr(many) == "Samples(3 of kind image, 4 × 4 × 1, labels 0 to 2, numbers 5 to 9)"
    assert repr(images.take([]).replace(labels=None, seeds=None)) == "Samples(0 of kind image, 4 × 4 × 1)"


@pytest.mark.parametrize(
    ("name", "message"), [("s.pgn", "Did you mean '.png'?"), ("s.doc", "End the file in .png, .npz")]
)
def test_an_unknown_ending_is_refused_before_drawing(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_ending(name)
    assert message in str(caught.value)


def test_a_broken_modality_keeps_no_other_kind_from_being_written(
    images: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Component("modality", "torn/leaf", "no_such_module:LEAF", "Leaves.")
    monkeypatch.setattr(registry, "components", lambda kind: [*components(kind), broken])
    assert write(images, tmp_path / "all.png").is_file()


def test_images_make_no_table(images: Samples, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not written as \.csv\. Write \.png or \.npz or \.gif"):
        write(images, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_labels_by_number_or_name() -> None:
    assert [class_number(label, IMAGES) for label in ("1", "owl")] == [1, 2]
    with pytest.raises(ConfigError, match="Did you mean 'dog'"):
        class_number("dgo", IMAGES)
    for label in ("3", "-1"):
        with pytest.raises(ConfigError, match="Use 0 to 2 or cat, dog, owl"):
            class_number(label, IMAGES)
    with pytest.raises(ConfigError, match="have no labels"):
        class_number("0", POINTS)


def test_numbers_that_are_names_are_names() -> None:
    """Sorted as text, the folders 1, 2, 3 and 10 are the classes 0, 2, 3 and 1."""
    folders = DataSpec((2,), classes=4, class_names=("1", "10", "2", "3"))
    assert [class_number(label, folders) for label in ("1", "2", 3, "10")] == [0, 2, 3, 1]
    for label in ("0", 0, "4"):
        with pytest.raises(ConfigError, match=r"There is no class '?[04]'?\..* Use 1, 10, 2, 3\."):
            class_number(label, folders)
    for label, entries in (("10", []), (None, ["label=10"])):
        assert condition(folders, 2, label, None, entries)["label"].tolist() == [1, 1]


def test_conditions_have_one_row_per_sample(tmp_path: Path) -> None:
    assert condition(IMAGES, 2, None, None, []) is None
    np.savez(tmp_path / "c.npz", tokens=np.arange(6).reshape(2, 3))
    found = condition(IMAGES, 2, "dog", "hello", ["strength=0.5", str(tmp_path / "c.npz")])
    assert found is not None
    assert {name: np.asarray(array).tolist() for name, array in found.items()} == {
        "label": [1, 1],
        "prompt": ["hello", "hello"],
        "strength": [0.5, 0.5],
        "tokens": [[0, 1, 2], [3, 4, 5]],
    }
    with pytest.raises(DataError, match="Give 3 rows"):
        condition(IMAGES, 3, None, None, [str(tmp_path / "c.npz")])
    with pytest.raises(DataError, match="cannot be read"):
        condition(IMAGES, 3, None, None, ["absent.npz"])
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        condition(IMAGES, 3, None, None, ["word"])


@pytest.mark.parametrize(
    ("label", "entries"), [("1", ["label=2"]), (None, ["label=1", "label=2"]), (None, ["strength=1", "strength=1"])]
)
def test_a_condition_is_given_once(label: str | None, entries: list[str]) -> None:
    with pytest.raises(ConfigError, match=f"The condition '{entries[-1].partition('=')[0]}' is given twice"):
        condition(IMAGES, 2, label, None, entries)


@pytest.mark.parametrize(
    ("text", "value"), [("50", 50), ("0.5", 0.5), ("1e-3", 0.001), ("true", True), ("None", None), ("ddim", "ddim")]
)
def test_sampling_options_read_as_what_they_look_like(text: str, value: Any) -> None:
    assert literal(text) == value
    assert type(literal(text)) is type(value)


class Halving(Family):
    """Codes are half the sample's values; decoding doubles them and adds 1, so that both calls show."""

    spec = POINTS

    def encode(self, x: np.ndarray) -> np.ndarray:
        return x / 2

    def decode(self, z: np.ndarray) -> np.ndarray:
        return 2 * z + 1


@pytest.fixture
def points() -> Dataset:
    split = ArraySplit(np.array([[0.0, 0.0], [8.0, 4.0], [0.0, 8.0]]))
    return Dataset("points", POINTS, split, split, "f" * 16)


def test_reconstructions_follow_their_originals(points: Dataset) -> None:
    drawn = reconstruct(Halving(), points, 3)
    np.testing.assert_allclose(drawn.samples[1::2], drawn.samples[::2] + 1)
    assert sorted(map(tuple, drawn.samples[::2])) == [(0, 0), (0, 8), (8, 4)]
    assert drawn.seeds is not None
    np.testing.assert_array_equal(drawn.samples[::2], points.test.take(drawn.seeds[::2])["x"])
    assert drawn.columns == 6  # pairs are not parted by the end of a row


def test_what_is_reconstructed_is_drawn_by_seed_over_classes() -> None:
    x = np.arange(400, dtype=np.float64)[:, None] * np.ones(2)
    label = np.repeat(np.arange(4), 100)
    split = ArraySplit(x, label)
    dataset = Dataset("points", POINTS.replace(classes=4), split, split, "f" * 16)
    drawn = reconstruct(Halving(), dataset, 8)
    assert drawn.labels is not None
    assert np.bincount(drawn.labels).tolist() == [4, 4, 4, 4]
    np.testing.assert_array_equal(drawn.labels[::2], drawn.samples[::2, 0] // 100)
    np.testing.assert_array_equal(reconstruct(Halving(), dataset, 8).samples, drawn.samples)
    assert not np.array_equal(reconstruct(Halving(), dataset, 8, seed=1).samples, drawn.samples)


def test_walks_are_straight_in_the_latent_space(points: Dataset) -> None:
    drawn = interpolate(Halving(), points, 5)
    start, end = drawn.samples[0], drawn.samples[-1]
    np.testing.assert_allclose(drawn.samples, start + np.linspace(0, 1, 5)[:, None] * (end - start))
    held_out = points.test.take([0, 1, 2])["x"].tolist()
    assert [(point - 1).tolist() in held_out for point in (start, end)] == [True, True]
    longer = interpolate(Halving(), points, 16)
    np.testing.assert_allclose(longer.samples[7], longer.samples[8])  # the next walk begins where this one ended


class Same(Family):
    """Codes are the samples."""

    spec = IMAGES

    def encode(self, x: np.ndarray) -> np.ndarray:
        return x

    def decode(self, z: np.ndarray) -> np.ndarray:
        return z


@pytest.mark.parametrize(("n", "points_each"), [(1, 1), (3, 3), (8, 8), (10, 10), (13, 13), (14, 7), (24, 8), (64, 8)])
def test_a_walk_is_one_row_of_the_picture(points: Dataset, n: int, points_each: int) -> None:
    assert points_of_walk(n) == points_each
    images = Dataset(
        "grey", IMAGES, *[ArraySplit(np.linspace(0, 1, 9).reshape(9, 1, 1, 1) * np.ones((4, 4, 1)))] * 2, "f"
    )
    drawn = interpolate(Same(), images, n)
    assert len(drawn) == n
    assert drawn.grid().size == (points_each * 50 - 2, n // points_each * 50 - 2)


class Labelled(Halving):
    """As above, and the label is added once in either direction."""

    spec = POINTS.replace(classes=2)
    conditional = True

    def encode(self, x: np.ndarray, label: np.ndarray) -> np.ndarray:
        return x / 2 + label[:, None]

    def decode(self, z: np.ndarray, label: np.ndarray) -> np.ndarray:
        return 2 * z + 10 * label[:, None]


def test_a_conditional_model_gets_the_labels_and_walks_stay_in_a_class() -> None:
    split = ArraySplit(np.array([[0.0, 0.0], [2.0, 2.0], [8.0, 4.0], [4.0, 4.0]]), np.array([0, 1, 0, 1]))
    dataset = Dataset("points", Labelled.spec, split, split, "f" * 16)
    drawn = reconstruct(Labelled(), dataset, 4)
    assert drawn.labels is not None
    assert drawn.labels[::2].tolist() == [0, 1, 0, 1]
    np.testing.assert_allclose(drawn.samples[1::2], drawn.samples[::2] + 12 * drawn.labels[::2, None])
    walk = interpolate(Labelled(), dataset, 16)
    assert walk.labels is not None
    assert walk.labels.tolist() == [0] * 8 + [1] * 8
    ends = [
        sorted((point - 12 * label).tolist() for point in walk.samples[rows])
        for label, rows in enumerate(([0, 7], [8, 15]))
    ]
    assert ends == [[[0, 0], [8, 4]], [[2, 2], [4, 4]]]


def test_a_traversal_changes_one_dimension_of_one_code_in_each_row() -> None:
    """Codes are half the values: dimension 1 varies most and comes first, from its 2nd to its 98th hundredth."""
    x = np.random.RandomState(0).uniform(size=(500, 2)) * [1.0, 10.0]
    dataset = Dataset("points", POINTS, *[ArraySplit(x)] * 2, "f" * 16)
    drawn = traverse(Halving(), dataset, 16)
    assert drawn.columns == 8
    rows = drawn.samples.reshape(2, 8, 2) - 1
    kept = rows[1, 0, 1], rows[0, 0, 0]
    assert any(np.allclose((kept[1], kept[0]), point) for point in x)
    np.testing.assert_allclose(rows[0, :, 0], kept[1], rtol=1e-6)
    np.testing.assert_allclose(rows[1, :, 1], kept[0], rtol=1e-6)
    np.testing.assert_allclose(rows[0, :, 1], np.linspace(*np.quantile(x[:, 1], [0.02, 0.98]), 8), rtol=1e-5)
    with pytest.raises(ConfigError, match=r"24 samples are 3 rows, and a code has 2 dimensions"):
        traverse(Halving(), dataset, 24)


def test_arithmetic_adds_the_difference_of_two_means() -> None:
    """Class 2 lies at (8, 0) from class 0 and (4, −6) from class 1; the codes' noise is the same in each."""
    noise = np.random.RandomState(0).normal(size=(50, 2))
    x = np.concatenate([noise + np.array(middle) for middle in ([0.0, 0.0], [4.0, 6.0], [8.0, 0.0])])
    dataset = Dataset("points", POINTS.replace(classes=3), *[ArraySplit(x, np.repeat(np.arange(3), 50))] * 2, "f" * 16)
    for subtract, moved in ((0, [8.0, 0.0]), (1, [4.0, -6.0]), (None, [6.0, -3.0])):
        rows = arithmetic(Halving(), dataset, 32, add=2, subtract=subtract).samples.reshape(4, 8, 2) - 1
        np.testing.assert_allclose(rows[:, -1] - rows[:, 0], np.tile(moved, (4, 1)), atol=1e-4)
        np.testing.assert_allclose(rows[:, 7] - rows[:, 6], np.tile(np.array(moved) / 7, (4, 1)), atol=1e-4)
        begun = x[:50] if subtract == 0 else x[50:100] if subtract == 1 else x[:100]
        assert all((np.abs(begun - start).max(axis=1) < 1e-4).any() for start in rows[:, 0])


def test_arithmetic_that_means_nothing_is_refused() -> None:
    split = ArraySplit(np.zeros((4, 2)), np.array([0, 1, 0, 1]))
    dataset = Dataset("points", Labelled.spec, split, split, "f" * 16)
    with pytest.raises(ConfigError, match=r"told the class, so its codes do not hold it"):
        arithmetic(Labelled(), dataset, 8, add=1)
    with pytest.raises(ConfigError, match=r"Class 1 less itself is nothing"):
        arithmetic(Halving(), dataset, 8, add=1, subtract=1)
    with pytest.raises(ConfigError, match=r"points has no labels to take means by"):
        arithmetic(Halving(), Dataset("points", POINTS, split, split, "f"), 8, add=1)
    with pytest.raises(ConfigError, match=r"3 samples are needed, 2 are held out"):
        arithmetic(Halving(), dataset, 24, add=1)


def test_a_model_without_a_latent_space_says_so(points: Dataset) -> None:
    class Blind(Family):
        spec = POINTS

    for mode in (reconstruct, interpolate, traverse):
        with pytest.raises(ConfigError, match=r"Blind has no encode\(\)"):
            mode(Blind(), points, 2)
    with pytest.raises(ConfigError, match="3 held-out samples, 4 are needed"):
        reconstruct(Halving(), points, 4)


def test_texts_are_written_with_an_empty_line_between(images: Samples, tmp_path: Path) -> None:
    texts = Samples(np.array(["to be", "or not"])[:, None], DataSpec((1,), kind="text", dtype="str"))
    assert write(texts, tmp_path / "t.txt").read_text() == "to be\n\nor not\n"
    assert [path.read_text() for path in sorted(write(texts, tmp_path / "texts").iterdir())] == ["to be\n", "or not\n"]
    with pytest.raises(ConfigError, match="--post detokenise"):
        write(texts.replace(samples=np.zeros((2, 1), "int32")), tmp_path / "i.txt")
