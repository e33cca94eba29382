"""Hostile and huge data are a clear error in bounded time and memory, before anything of their size is made."""

from __future__ import annotations

import io
import os
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import genloom
from genloom.data import DataSpec
from genloom.data.sources.npz import read_npz
from genloom.data.spec import MOST_CLASSES
from genloom.errors import ConfigError, DataError

pytestmark = pytest.mark.any_engine

HUGE = 40 * 2**30  # bytes, more than is free
SECONDS = 5.0


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": descr, "fortran_order": False, "shape": shape})
    return content.getvalue()


def archive(path: Path, **entries: bytes) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return f"npz:{path}"


def bomb(path: Path, name: str) -> str:
    """Claims four GiB, of which a quarter MiB of the archive are some."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open(f"{name}.npy", "w", force_zip64=True) as one,
    ):
        one.write(header((2**30,)))
        block = bytes(2**24)
        for _ in range(16):
            one.write(block)
    return f"npz:{path}"


def pictures(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("L", (4, 4), number).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("options", ["", "?classes=1000000001"])
def test_labels_of_a_billion_are_refused_and_the_bound_is_told(options: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 2), "float32"), label=np.array([0, 1, 2, 10**9]))
    begin = time.monotonic()
    match = "must be at most 100000, got" if options else "would be 1000000001 classes.*100,000 classes are the most"
    with pytest.raises(ConfigError, match=match):
        genloom.data.open(f"npz:{tmp_path / 'd.npz'}{options}")
    assert time.monotonic() - begin < SECONDS


def test_a_spec_tells_how_many_classes_there_may_be() -> None:
    assert DataSpec((2,), classes=MOST_CLASSES).classes == MOST_CLASSES
    for classes in (MOST_CLASSES + 1, -1):
        with pytest.raises(ConfigError, match="where 100,000 are the most"):
            DataSpec((2,), classes=classes)


def test_an_unknown_key_is_refused_before_it_is_read(tmp_path: Path) -> None:
    address = bomb(tmp_path / "d.npz", "extra")
    begin = time.monotonic()
    with pytest.raises(DataError, match="has the unknown key 'extra'"):
        genloom.data.open(address)
    with pytest.raises(DataError, match=r"claims .* bytes and has"):
        genloom.data.open(bomb(tmp_path / "x.npz", "x"))
    assert time.monotonic() - begin < SECONDS


def test_headers_are_believed_only_where_they_fit(tmp_path: Path) -> None:
    cases = {
        "claims 4,000,000,000 bytes and has": header((10**9,)),
        "it holds pickled objects": header((1,), "|O"),
        "cannot be read": b"no header",
    }
    for match, content in cases.items():
        with pytest.raises(DataError, match=match):
            genloom.data.open(archive(tmp_path / "d.npz", x=content))
    many = {f"a{number}": header((0,)) for number in range(1_001)}
    with pytest.raises(DataError, match="it has 1,001 arrays"):
        genloom.data.open(archive(tmp_path / "d.npz", **many))
    with pytest.raises(DataError, match="it has 1,001 arrays"):
        read_npz(tmp_path / "d.npz")


def test_more_than_the_memory_is_refused_with_both_sizes(tmp_path: Path) -> None:
    (tmp_path / "idx").mkdir()
    with open(tmp_path / "idx" / "train-images-idx3-ubyte", "wb") as file:
        file.write(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**16 - 1, 2**10, 2**10))
        file.truncate(16 + (2**16 - 1) * 2**20)
    with pytest.raises(DataError, match=r"claims 64\.0 GiB, and .* GiB of memory are free"):
        genloom.data.open(f"idx:{tmp_path / 'idx'}")


def test_an_enormous_sparse_picture_is_refused_by_its_size(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p")
    with open(folder / "0.png", "rb+") as file:
        file.truncate(HUGE)
    begin = time.monotonic()
    with pytest.raises(DataError, match=r"0\.png is a broken picture: it has 42,949,672,960 bytes"):
        genloom.data.open(f"images:{folder}")
    assert time.monotonic() - begin < SECONDS


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes")
def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p")
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png is a broken picture: it is not a plain file"):
        genloom.data.open(f"images:{folder}")


def test_a_class_folder_whose_name_is_no_text_is_refused_when_it_is_checked(tmp_path: Path) -> None:
    pictures(tmp_path / "p" / "cat")
    try:
        pictures(Path(os.fsdecode(os.fsencode(tmp_path / "p" / "caf") + b"\xe9")))
    except OSError:
        pytest.skip("a file system of UTF-8 names")
    with pytest.raises(
        DataError, match=r"caf\\\\xe9' has a name that is not UTF-8|caf\\xe9' has a name that is not UTF-8"
    ):
        genloom.data.open(f"images:{tmp_path / 'p'}")


def test_an_address_that_no_run_could_keep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not UTF-8, so a run cannot record it"):
        genloom.data.open(f"images:{tmp_path}/caf\udce9")


def test_names_of_classes_and_columns_are_text() -> None:
    for names in ({"classes": 1, "class_names": ("\udce9",)}, {"columns": ("a", "\udce9")}):
        with pytest.raises(ConfigError, match="is not a valid name"):
            DataSpec((2,), kind="table", **names)
