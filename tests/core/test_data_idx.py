"""idx files: a generated pair reads back exactly, and every way a file can be wrong names it."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from genloom.data.sources.idx import open_idx
from genloom.errors import DataError

pytestmark = pytest.mark.any_engine


def write_images(path: Path, x: np.ndarray) -> None:
    content = struct.pack(">4B3I", 0, 0, 8, 3, *x.shape) + x.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_labels(path: Path, label: np.ndarray) -> None:
    content = struct.pack(">4BI", 0, 0, 8, 1, len(label)) + label.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 5, 4), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, pictures) -> Path:
    write_images(tmp_path / "train-images-idx3-ubyte.gz", pictures)
    write_labels(tmp_path / "train-labels-idx1-ubyte.gz", np.arange(20) % 3)
    return tmp_path


def test_one_pair_is_cut_in_file_order(folder, pictures):
    dataset = open_idx(str(folder))
    train, test = dataset.train.arrays(), dataset.test.arrays()
    assert dataset.spec.shape == (5, 4, 1)
    assert dataset.spec.classes == 3
    np.testing.assert_array_equal(train["x"], (pictures[:18, ..., None] / 255).astype(np.float32))
    np.testing.assert_array_equal(test["x"], (pictures[18:, ..., None] / 255).astype(np.float32))
    np.testing.assert_array_equal(np.concatenate([train["label"], test["label"]]), np.arange(20) % 3)


def test_train_and_t10k_are_the_splits(folder, pictures):
    write_images(folder / "t10k-images.idx3-ubyte", pictures[:4])
    write_labels(folder / "t10k-labels.idx1-ubyte", np.zeros(4))
    dataset = open_idx(str(folder))
    assert (len(dataset.train), len(dataset.test)) == (20, 4)
    np.testing.assert_array_equal(dataset.test.arrays()["x"][..., 0], (pictures[:4] / 255).astype(np.float32))


def test_packed_and_unpacked_files_are_the_same_data(folder, pictures, tmp_path_factory):
    plain = tmp_path_factory.mktemp("plain")
    write_images(plain / "images-idx3-ubyte", pictures)
    write_labels(plain / "labels-idx1-ubyte", np.arange(20) % 3)
    assert open_idx(str(plain)).fingerprint == open_idx(str(folder)).fingerprint


def test_labels_are_optional(folder):
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    dataset = open_idx(str(folder))
    assert dataset.spec.classes == 0
    assert set(dataset.train.arrays()) == {"x"}


def test_labels_that_are_codes_are_no_classes(folder):
    write_labels(folder / "train-labels-idx1-ubyte.gz", np.arange(20) % 2 * 200)
    refusal(folder, "2 distinct labels up to 200, which would be 201 classes")


def refusal(folder: Path, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        open_idx(str(folder))
    assert caught.value.exit_code == 2


def test_a_truncated_file(folder, pictures):
    path = folder / "train-images-idx3-ubyte"
    (folder / "train-images-idx3-ubyte.gz").unlink()
    path.write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, *pictures.shape) + pictures.tobytes()[:-1])
    refusal(folder, "train-images-idx3-ubyte is truncated: 399 of 400 bytes")
    path.write_bytes(b"\0\0\x08\x03\0\0")
    refusal(folder, "ends within its header")
    path.write_bytes(b"")
    refusal(folder, "starts with nothing")


def test_a_truncated_archive(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    refusal(folder, "train-images-idx3-ubyte.gz cannot be read.*Fetch")


def test_no_archive_at_all(folder):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"<html>404</html>")
    refusal(folder, "train-images-idx3-ubyte.gz cannot be read")


def test_damaged_compressed_bytes(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    refusal(folder, "train-images-idx3-ubyte.gz")


def test_a_wrong_magic_number(folder):
    write_labels(folder / "train-images-idx3-ubyte.gz", np.zeros(20))
    refusal(folder, "train-images-idx3-ubyte.gz starts with 00000801, not 00000803")


def test_bytes_after_the_end(folder, pictures):
    (folder / "train-images-idx3-ubyte.gz").unlink()
    content = struct.pack(">4B3I", 0, 0, 8, 3, *pictures.shape) + pictures.tobytes() + b"\0"
    (folder / "train-images-idx3-ubyte").write_bytes(content)
    refusal(folder, "more than the 400 bytes")


def test_a_header_that_claims_the_moon(folder):
    (folder / "train-images-idx3-ubyte.gz").unlink()
    (folder / "train-images-idx3-ubyte").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**16, 2**16))
    refusal(folder, "claims the shape")


def test_counts_that_differ(folder):
    write_labels(folder / "train-labels-idx1-ubyte.gz", np.zeros(19))
    refusal(folder, "20 pictures, train-labels-idx1-ubyte.gz 19 labels")


def test_labels_without_images(folder):
    (folder / "train-images-idx3-ubyte.gz").unlink()
    refusal(folder, "train-labels-idx1-ubyte.gz has labels without images")


def test_a_folder_without_idx_files(tmp_path):
    refusal(tmp_path, "holds no .*images-idx3")
    refusal(tmp_path / "absent", "absent' is not a folder")


def test_sizes_that_differ(folder):
    write_images(folder / "t10k-images-idx3-ubyte", np.zeros((4, 5, 5), np.uint8))
    write_labels(folder / "t10k-labels-idx1-ubyte", np.zeros(4))
    refusal(folder, r"train pictures are \(5, 4\), test pictures \(5, 5\)")


def test_pairs_without_roles(folder):
    write_images(folder / "more-images-idx3-ubyte", np.zeros((4, 5, 4), np.uint8))
    refusal(folder, "Keep one pair, or name them")


def test_ten_thousand_digits_of_mnist():
    root = Path(os.environ.get("GENLOOM_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (root / "mnist-10k").is_dir():
        pytest.skip(f"{root / 'mnist-10k'} is absent")
    dataset = open_idx(str(root / "mnist-10k"))
    assert (len(dataset.train), len(dataset.test)) == (9000, 1000)
    assert dataset.spec.shape == (28, 28, 1)
    # The first ten labels of MNIST's test set.
    assert dataset.train.arrays(10)["label"].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
