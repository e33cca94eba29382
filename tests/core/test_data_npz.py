"""npz files: pictures and signals read back exactly; pickles, NaN and labels that do not fit are refused by name."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from genloom import data
from genloom.data.sources.npz import open_npz
from genloom.errors import DataError

pytestmark = pytest.mark.any_engine


def save(folder: Path, **arrays) -> str:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return str(path)


def test_bytes_become_pictures_between_0_and_1(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
    dataset = open_npz(save(tmp_path, x=x, label=np.arange(20) % 4))
    assert (dataset.spec.kind, dataset.spec.shape, dataset.spec.classes) == ("image", (6, 5, 3), 4)
    held = [9, 19]
    np.testing.assert_array_equal(dataset.test.arrays()["x"], (x[held] / 255).astype(np.float32))
    np.testing.assert_array_equal(dataset.train.arrays()["label"], np.delete(np.arange(20) % 4, held))


def test_given_test_arrays_are_used(tmp_path):
    x, x_test = np.zeros((6, 4, 4)), np.ones((2, 4, 4))
    dataset = open_npz(save(tmp_path, x=x, x_test=x_test, label=[0, 1, 2, 0, 1, 2], label_test=[1, 1]))
    assert (len(dataset.train), len(dataset.test)) == (6, 2)
    assert dataset.spec.shape == (4, 4, 1)
    assert dataset.spec.class_frequencies == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert (dataset.test.arrays()["x"] == 1).all()


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 1, (0, 1)), (-1, 1, (-1, 1)), (-0.5, 0.5, (-1, 1)), (0, 200, (0, 255))]
)
def test_the_range_of_floats_is_found(tmp_path, low, high, expected):
    x = np.linspace(low, high, 4 * 9).reshape(4, 3, 3)
    dataset = open_npz(save(tmp_path, x=x))
    assert dataset.spec.value_range == expected
    np.testing.assert_array_equal(dataset.train.arrays()["x"][..., 0], x[:3].astype(np.float32))


def test_a_given_range_wins_and_values_stay(tmp_path):
    path = save(tmp_path, x=np.full((4, 3, 3), 300.0))
    with pytest.raises(DataError, match=r"values from 300 to 300\. Give \?value_range"):
        open_npz(path)
    dataset = open_npz(path, value_range=(0, 1000))
    assert dataset.spec.value_range == (0, 1000)
    assert (dataset.train.arrays()["x"] == 300).all()


@pytest.mark.parametrize("high", [1.3, 20.0])
def test_small_floats_beyond_1_are_not_taken_for_bytes(tmp_path, high):
    x = np.random.default_rng(0).uniform(0, high, (60, 8, 8)).astype(np.float32)
    refusal(save(tmp_path, x=x), r"pictures have values from .* Give \?value_range=lowest,highest")


def test_whole_numbers_are_levels_and_test_samples_beyond_the_range_are_noted(tmp_path):
    x, x_test = np.zeros((6, 2, 2), np.int64), np.zeros((3, 2, 2), np.int64)
    x[0, 0, 0], x_test[1, 0, 0], x_test[2] = 9, 256, -1
    dataset = open_npz(save(tmp_path, x=x, x_test=x_test))
    assert dataset.spec.value_range == (0, 255)
    assert dataset.notes == ("2 of 3 test samples have values outside 0 to 255.",)
    assert open_npz(save(tmp_path, x=x, x_test=x_test[:1])).notes == ()


@pytest.mark.parametrize("last", [90210, 100])
def test_codes_are_no_classes_until_somebody_says_so(tmp_path, last):
    label = np.array([1, 2, last] * 4)
    path = save(tmp_path, x=np.zeros((12, 3)), label=label)
    refusal(path, f"data.npz has 3 distinct labels up to {last}, .* Renumber .* 0 to 2, .* or give classes={last + 1}")
    assert data.open(f"npz:{path}?classes={last + 1}").spec.classes == last + 1


def test_labels_that_are_as_good_as_dense_are_classes(tmp_path):
    assert open_npz(save(tmp_path, x=np.zeros((4, 3)), label=[0, 99, 0, 99])).spec.classes == 100
    label = np.arange(20) * 10 + 9  # 200 classes, a tenth of them there
    assert open_npz(save(tmp_path, x=np.zeros((20, 3)), label=label)).spec.classes == 200


def test_rows_are_signals(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 7))
    spec = open_npz(save(tmp_path, x=x)).spec
    assert (spec.kind, spec.shape, spec.value_range) == ("signal", (7,), None)


def refusal(path: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        open_npz(path)
    assert "data" in str(caught.value) or "absent" in str(caught.value)


def test_not_a_number(tmp_path):
    x = np.zeros((8, 2), np.float32)
    x[3, 1], x[5, 0] = np.nan, np.inf
    refusal(save(tmp_path, x=x), r"data.npz: x has NaN or infinite values in 2 of 8 rows, first in row 3")


def test_pickled_objects_are_never_loaded(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.array([{"a": 1}, None], dtype=object))
    refusal(str(path), "data.npz cannot be read: it holds pickled objects")


def test_a_bare_pickle_is_never_loaded(tmp_path):
    path = tmp_path / "data.npz"
    np.save(path.with_suffix(".npy"), np.array([{}], dtype=object), allow_pickle=True)
    path.with_suffix(".npy").rename(path)
    refusal(str(path), "data.npz cannot be read")


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"PK\x03\x04 broken", b"hello"])
def test_other_files(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)
    refusal(str(tmp_path / "data.npz"), "data.npz cannot be read")


def test_a_truncated_archive(tmp_path):
    path = Path(save(tmp_path, x=np.zeros((50, 8))))
    path.write_bytes(path.read_bytes()[:-100])
    refusal(str(path), "data.npz cannot be read")


def test_a_member_that_lies_about_its_size(tmp_path):
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2)})
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", member.getvalue())
    refusal(str(tmp_path / "data.npz"), "data.npz cannot be read")


def test_a_bare_array(tmp_path):
    with open(tmp_path / "data.npz", "wb") as file:
        np.save(file, np.zeros((4, 2)))
    refusal(str(tmp_path / "data.npz"), "data.npz cannot be read: it is not a NumPy archive")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"label": [0, 1]}, "labels without samples"),
        ({"y": np.zeros((4, 2))}, "unknown key 'y'"),
        ({"x": np.zeros((4, 2)), "labels": [0] * 4}, "Did you mean 'label'"),
        ({"x": np.zeros((4, 2)), "label": [0, 1]}, r"4 samples have labels of shape \(2,\)"),
        ({"x": np.zeros((4, 2)), "label": [0.5, 1, 1, 1]}, "whole numbers"),
        ({"x": np.zeros((4, 2)), "label": [-1, 1, 1, 1]}, "whole numbers"),
        ({"x": np.zeros((4, 2)), "label": [[1, 0]] * 4}, r"4 samples have labels of shape \(4, 2\)"),
        ({"x": np.zeros((4, 2)), "label": np.array([b"\xff"] * 4)}, "label holds bytes that are not UTF-8"),
        ({"x": np.zeros((4, 2)), "label": [0] * 4, "class_names": [1]}, r"class_names is int64 \(1,\)"),
        ({"x": np.zeros((4, 2)), "class_names": ["a"]}, "has classes but no labels"),
        ({"x": np.zeros((4, 2)), "label_test": [0]}, "label_test without x_test"),
        ({"x": np.zeros((4, 2)), "x_test": np.zeros((4, 3))}, r"x is float64 \(2,\) a sample, x_test float64 \(3,\)"),
        ({"x": np.zeros((4, 2)), "x_test": np.zeros((4, 2)), "label": [0] * 4}, "only one of x and x_test has labels"),
        ({"x": np.zeros((4, 3, 3, 2))}, "2 channels"),
        ({"x": np.zeros((4,))}, r"shape \(4,\)"),
        ({"x": np.zeros((0, 2))}, r"no samples, its shape is \(0, 2\)"),
        ({"x": np.zeros((1, 2))}, "1 sample"),
        ({"x": np.array([["a"], ["b"]])}, "not numbers"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, words):
    refusal(save(tmp_path, **arrays), words)


def test_classes_by_name(tmp_path):
    x = np.zeros((4, 3))
    spec = open_npz(save(tmp_path, x=x, label=["b", "a", "a", "b"])).spec
    assert (spec.classes, spec.class_names) == (2, ("a", "b"))
    spec = open_npz(save(tmp_path, x=x, label=[0, 1, 1, 0], class_names=["one", "two", "three"])).spec
    assert (spec.classes, spec.class_names) == (3, ("one", "two", "three"))
    dataset = open_npz(save(tmp_path, x=x, label=np.array([b"b", b"a", b"a", b"b"])))
    assert dataset.notes == ("label holds bytes and was read as UTF-8.",)
    assert dataset.train.arrays()["label"].tolist() == [1, 0, 0]
    spec = open_npz(save(tmp_path, x=x, x_test=x, label=["a"] * 4, label_test=["b"] * 4)).spec
    assert spec.class_frequencies == (1.0, 0.0)


def test_classes_in_the_address(tmp_path):
    path = save(tmp_path, x=np.zeros((4, 3)), label=[0, 1, 1, 0])
    assert data.open(f"npz:{path}?classes=10").spec.classes == 10
    assert data.open(f"npz:{path}?class_names=low,high,none").spec.class_names == ("low", "high", "none")


def test_labels_of_pickled_text_are_never_loaded(tmp_path):
    path = save(tmp_path, x=np.zeros((4, 3)), label=np.array(["a"] * 4, dtype=object))
    refusal(path, "data.npz cannot be read: it holds pickled objects")


def test_a_file_that_is_not_there():
    refusal("absent.npz", "'absent.npz' is not a file")
    with pytest.raises(DataError, match="npz: '' is not a file"):
        open_npz()


def test_labels_that_are_no_32_bit_numbers_are_told_with_the_bound(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 2), "float32"), label=np.arange(4) * 10**10)
    with pytest.raises(DataError, match="labels go up to 30,000,000,000, and there are at most 100,000 classes"):
        data.open(f"npz:{tmp_path / 'd.npz'}")


def test_columns_that_float32_cannot_hold_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    seconds = np.stack([rng.standard_normal(200), 1.7e9 + 10 * rng.standard_normal(200)], 1)
    with pytest.raises(
        DataError, match=r"too little, relative to its size, for float32 in column 1: 1\.7e\+09 ± \d"
    ) as error:
        data.open(f"npz:{save(tmp_path, x=seconds)}")
    assert error.value.mend == "Subtract a constant from the column before, such as its smallest value."
    whole = np.stack([2**40 + np.arange(200) % 9, np.full(200, 7)], 1)
    with pytest.raises(DataError, match="in column 0: "):
        data.open(f"npz:{save(tmp_path, x=whole)}")
    seconds[:, 1] -= seconds[:, 1].min()
    opened = data.open(f"npz:{save(tmp_path, x=seconds)}")
    assert opened.spec.scale[1] == pytest.approx(10, rel=0.2)
    # A constant loses nothing.
    assert data.open(f"npz:{save(tmp_path, x=np.full((20, 1), 1.7e9))}").spec.scale == (0.0,)


def test_what_was_drawn_is_read_as_data(tmp_path):
    x = np.linspace(0.0, 1.0, 10 * 9, dtype="float32").reshape(10, 3, 3)
    labels, names = np.arange(10) % 2, np.asarray(["cat", "dog"])
    seeds = np.stack([np.zeros(10, int), np.arange(10)], axis=1)
    drawn = open_npz(save(tmp_path, samples=x, labels=labels, seeds=seeds, class_names=names))
    plain = open_npz(save(tmp_path, x=x, label=labels, class_names=names))
    assert drawn.spec == plain.spec and drawn.fingerprint == plain.fingerprint
    with pytest.raises(DataError, match="unknown key 'seeds'"):
        open_npz(save(tmp_path, seeds=seeds))
