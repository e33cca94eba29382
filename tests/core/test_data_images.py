"""Folders of pictures: what is read is what was drawn, streamed or kept, and every bad file is named."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genloom.data import Loader
from genloom.data.sources import images
from genloom.data.sources.images import PictureSplit, open_images
from genloom.errors import DataError

pytestmark = pytest.mark.any_engine

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def draw(path: Path, seed: int, *, size: tuple[int, int] = (6, 5), channels: int = 3) -> np.ndarray:
    """Write a random picture and return its bytes, (height, width, channels)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(path)
    return pixels


@pytest.fixture
def classes(tmp_path) -> Path:
    for name in ("cat", "dog"):
        for i in range(10):
            draw(tmp_path / name / f"{i}.png", seed=i + 100 * (name == "dog"))
    return tmp_path


@pytest.fixture
def streamed(monkeypatch) -> None:
    monkeypatch.setattr(images, "_KEEP_PIXELS", 0)


def test_class_folders_are_labels_and_every_tenth_picture_is_held_out(classes):
    dataset = open_images(str(classes))
    assert (len(dataset.train), len(dataset.test)) == (18, 2)
    assert dataset.spec.class_names == ("cat", "dog")
    assert dataset.test.arrays()["label"].tolist() == [0, 1]
    expected = np.random.default_rng(109).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(dataset.test.arrays()["x"][1], (expected / 255).astype(np.float32))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_are_kept(tmp_path, channels):
    drawn = [draw(tmp_path / f"{i}.png", i, channels=channels) for i in range(3)]
    dataset = open_images(str(tmp_path))
    assert dataset.spec.shape == (6, 5, channels)
    assert dataset.spec.classes == 0
    np.testing.assert_array_equal(dataset.train.arrays()["x"], (np.stack(drawn[:2]) / 255).astype(np.float32))


def test_streamed_equals_kept(classes, request):
    kept = open_images(str(classes), size=4)
    request.getfixturevalue("streamed")
    split = open_images(str(classes), size=4)
    assert isinstance(split.train, PictureSplit)
    assert split.fingerprint == kept.fingerprint
    for name, values in kept.train.arrays().items():
        np.testing.assert_array_equal(split.train.arrays()[name], values)
    pairs = zip(Loader(kept.train, 7, 1, start=3), Loader(split.train, 7, 1, start=3), range(5), strict=False)
    for left, right, _ in pairs:
        np.testing.assert_array_equal(left["x"], right["x"])
        np.testing.assert_array_equal(left["label"], right["label"])


def test_streaming_opens_only_the_files_asked_for(classes, streamed):
    dataset = open_images(str(classes))
    for path in classes.glob("*/*.png"):
        if path.name != "0.png":
            path.unlink()
    assert dataset.train.take([0, 9])["label"].tolist() == [0, 1]
    with pytest.raises(DataError, match=r"cat.1\.png"):
        dataset.train.take([1])


def test_resizing_is_pillows_own_filter(tmp_path):
    drawn = [draw(tmp_path / f"{i}.png", i, size=(8, 8)) for i in range(2)]
    for name in ("lanczos", "box"):
        x = open_images(str(tmp_path), size=4, filter=name).train.arrays()["x"][0]
        expected = Image.fromarray(drawn[0]).resize((4, 4), Image.Resampling[name.upper()])
        np.testing.assert_array_equal(x, np.asarray(expected, np.float32) / np.float32(255))
    # A box filter that halves is the mean of four pixels, to the rounding of bytes.
    means = drawn[0].reshape(4, 2, 4, 2, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(x, means, atol=1 / 255)


def test_other_shapes_are_cropped_at_the_centre(tmp_path):
    wide = draw(tmp_path / "a.png", 0, size=(4, 8))
    draw(tmp_path / "b.png", 1, size=(4, 4))
    draw(tmp_path / "c.png", 2, size=(4, 4))
    dataset = open_images(str(tmp_path))
    assert dataset.spec.shape == (4, 4, 3)
    assert "1 of 3 pictures were resized to 4×4 with lanczos" in dataset.notes[0]
    np.testing.assert_array_equal(dataset.train.arrays()["x"][0], (wide[:, 2:6] / 255).astype(np.float32))


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    levels = np.array([[0, 257], [32896, 65535]], dtype=np.uint16)
    for name in ("a.png", "b.png"):
        Image.fromarray(levels).save(tmp_path / name)
    x = open_images(str(tmp_path)).train.arrays()["x"]
    np.testing.assert_array_equal(x[0, ..., 0] * 255, [[0, 1], [128, 255]])


def test_pictures_are_turned_upright(tmp_path):
    drawn = draw(tmp_path / "a.png", 0, size=(4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90° clockwise
    for name in ("a.png", "b.png"):
        Image.fromarray(drawn).save(tmp_path / name, exif=exif)
    x = open_images(str(tmp_path)).train.arrays()["x"][0]
    np.testing.assert_array_equal(x, (np.rot90(drawn, -1) / 255).astype(np.float32))


def test_train_and_test_folders_are_the_splits(tmp_path):
    for part, count in (("train", 4), ("test", 2)):
        for name in ("a", "b"):
            for i in range(count):
                draw(tmp_path / part / name / f"{i}.png", seed=i)
    dataset = open_images(str(tmp_path))
    assert (len(dataset.train), len(dataset.test)) == (8, 4)
    assert dataset.spec.class_names == ("a", "b")
    assert dataset.test.arrays()["label"].tolist() == [0, 0, 1, 1]
    (tmp_path / "test" / "b").rename(tmp_path / "test" / "c")
    refusal(tmp_path, r"train and test differ in the classes \['b', 'c'\]")


def test_limit_is_spread_over_the_list(classes):
    dataset = open_images(str(classes), limit=4, test=0.25)
    assert dataset.train.arrays()["label"].tolist() + dataset.test.arrays()["label"].tolist() == [0, 0, 1, 1]


def test_the_fingerprint_follows_content_names_and_options(classes):
    first = open_images(str(classes)).fingerprint
    assert open_images(str(classes)).fingerprint == first
    assert open_images(str(classes), size=4).fingerprint != first
    draw(classes / "cat" / "3.png", seed=999)
    second = open_images(str(classes)).fingerprint
    (classes / "cat" / "3.png").rename(classes / "cat" / "30.png")
    assert len({first, second, open_images(str(classes)).fingerprint}) == 3


def test_a_moved_folder_keeps_its_fingerprint(classes, tmp_path_factory):
    first = open_images(str(classes)).fingerprint
    moved = tmp_path_factory.mktemp("moved") / "here"
    classes.rename(moved)
    assert open_images(str(moved)).fingerprint == first


def refusal(folder: Path, words: str, **options) -> None:
    with pytest.raises(DataError, match=words) as caught:
        open_images(str(folder), **options)
    assert caught.value.mend


def test_wrong_paths(tmp_path):
    refusal(tmp_path / "absent", "absent' is not a folder")
    draw(tmp_path / "a.png", 0)
    refusal(tmp_path / "a.png", "a.png' is not a folder")
    refusal(tmp_path, "has one picture")


def test_folders_without_pictures(tmp_path, classes):
    empty = tmp_path / "none"
    empty.mkdir()
    refusal(classes, "none is an empty class folder")
    (empty / "readme.txt").write_text("no picture")
    refusal(empty, r"none has no pictures \(1 other files\).*Endings read: .png")


def test_pictures_beside_class_folders(classes):
    draw(classes / "loose.png", 0)
    refusal(classes, "loose.png lies beside class folders")


def test_hidden_files_are_ignored(classes):
    (classes / ".DS_Store").write_bytes(b"x")
    (classes / "cat" / "._0.png").write_bytes(b"x")
    (classes / ".git").mkdir()
    (classes / "notes.txt").write_text("x")
    dataset = open_images(str(classes))
    assert len(dataset.train) == 18
    assert dataset.notes == ("1 files with other endings were ignored.",)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + b"\0" * 30])
def test_a_broken_picture(classes, content):
    (classes / "cat" / "5.png").write_bytes(content)
    refusal(classes, "cat.5.png is a broken picture")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp"])
def test_a_truncated_picture(classes, suffix, request):
    path = classes / "cat" / f"50{suffix}"
    draw(path, 0, size=(6, 5))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 5])
    refusal(classes, f"cat.50{suffix} is a broken picture", channels=3)
    request.getfixturevalue("streamed")
    with pytest.raises(DataError, match=f"cat.50{suffix} is a broken picture"):
        open_images(str(classes), channels=3).train.arrays()


def spoil(*paths: Path) -> None:
    """Cut pictures off: a third behind their head, a third in it, a third at their beginning."""
    for number, path in enumerate(paths):
        content = path.read_bytes()
        path.write_bytes(content[: (len(content) * 3 // 5, 20, 0)[number % 3]])


def test_broken_pictures_are_counted_in_one_error(classes):
    spoil(*(classes / "cat" / f"{i}.png" for i in (1, 3, 5, 7, 9)), classes / "dog" / "0.png")
    words = r"6 of 20 pictures are broken: \S+cat/1\.png, \S+cat/3\.png, \S+5\.png, \S+7\.png and 2 more\."
    refusal(classes, words + r".*cat/1\.png is a broken picture.*skip_broken=true")


@pytest.mark.parametrize("kept", [True, False])
def test_broken_pictures_are_skipped_on_request(classes, kept, request):
    if not kept:
        request.getfixturevalue("streamed")
    whole = open_images(str(classes))
    assert open_images(str(classes), skip_broken=True).fingerprint == whole.fingerprint
    spoil(classes / "cat" / "1.png", classes / "cat" / "2.png", classes / "dog" / "0.png")
    dataset = open_images(str(classes), skip_broken=True)
    assert (len(dataset.train), len(dataset.test)) == (16, 1)
    assert dataset.train.arrays()["label"].tolist() == [0] * 8 + [1] * 8
    assert dataset.notes[0].startswith("3 broken pictures were skipped: ")
    assert "cat/1.png, " in dataset.notes[0]
    for i in range(10):
        (classes / "dog" / f"{i}.png").write_bytes(b"")
    refusal(classes, "12 of 20 pictures are broken; a class or split has no other", skip_broken=True)


def test_what_systems_put_into_folders_is_ignored(classes):
    for name in ("__MACOSX/cat", "@eaDir", "$RECYCLE.BIN"):
        (classes / name).mkdir(parents=True)
    draw(classes / "__MACOSX" / "cat" / "0.png", 0)
    for name in ("Thumbs.db", "cat/Thumbs.db", "desktop.ini", "dog/._1.png"):
        (classes / name).write_bytes(b"x")
    dataset = open_images(str(classes))
    assert dataset.spec.class_names == ("cat", "dog")
    assert dataset.notes == ()


def test_linked_class_folders_are_followed(classes, tmp_path_factory):
    whole = open_images(str(classes))
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "dogs"
    (classes / "dog").rename(elsewhere)
    (classes / "dog").symlink_to(elsewhere)
    linked = open_images(str(classes))
    assert linked.fingerprint == whole.fingerprint
    assert linked.train.arrays()["label"].sum() == 9


def test_links_that_lead_back_or_nowhere_are_refused(classes):
    link = classes / "dog" / "more"
    link.symlink_to(classes)
    refusal(classes, r"dog/more leads to .*, which is read as .* already\. Remove one of the two")
    link.unlink()
    (classes / "same").symlink_to(classes / "cat")
    refusal(classes, r"leads to \S+/cat, which is read as \S+ already")
    (classes / "same").unlink()
    (classes / "gone").symlink_to(classes / "absent")
    refusal(classes, r"gone is a link that leads nowhere")
    (classes / "gone").unlink()
    (classes / "round").symlink_to(classes / "round")
    refusal(classes, r"round is a link that leads nowhere")


def test_mixed_channels_are_named_and_can_be_chosen(classes):
    draw(classes / "cat" / "7.png", 0, channels=1)
    draw(classes / "dog" / "2.png", 0, channels=4)
    refusal(classes, r"mixed channels: 1 in .*cat.7.png, 3 in .*cat.0.png, 4 in .*dog.2.png.*\?channels=1, 3 or 4")
    for channels in (1, 3, 4):
        assert open_images(str(classes), channels=channels).spec.shape == (6, 5, channels)


def bomb(path: Path, side: int) -> None:
    """Write a valid PNG of side × side black pixels in a few kilobytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


@pytest.mark.parametrize("side", [8_000, 10_000, 20_000])
def test_an_enormous_picture_is_refused_before_it_is_unpacked(classes, side):
    bomb(classes / "cat" / "0.png", side)
    assert (classes / "cat" / "0.png").stat().st_size < 100_000
    refusal(classes, "cat.0.png is enormous", channels=3, size=4)


def test_the_limit_on_pixels_can_be_moved(classes):
    refusal(classes, "cat.0.png is enormous: 5×6 pixels, where 29 are allowed", max_pixels=29)


def test_wrong_options(classes):
    refusal(classes, "Unknown filter 'lancsoz'. Did you mean 'lanczos'", filter="lancsoz")
    refusal(classes, r"size must be one side or height,width, got \(1, 2, 3\)", size=(1, 2, 3))
    with pytest.raises(DataError, match="channels must be 1, 3 or 4, got 2"):
        open_images(str(classes), channels=2)


def test_five_thousand_pictures_of_cifar10():
    root = Path(os.environ.get("GENLOOM_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (root / "cifar10-jpg").is_dir():
        pytest.skip(f"{root / 'cifar10-jpg'} is absent")
    dataset = open_images(str(root / "cifar10-jpg"), limit=500)
    assert (len(dataset.train), len(dataset.test)) == (450, 50)
    assert dataset.spec.shape == (32, 32, 3)
    assert dataset.spec.classes == 10
    np.testing.assert_allclose(dataset.spec.class_frequencies, 0.1, atol=1e-6)
