"""Samples in files of a kind that says how they are read, and arrays that name their kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloom import data
from genloom.data.sources import arrays, files
from genloom.errors import DataError, NotFoundError
from genloom.modalities import Modality, Reader

pytestmark = pytest.mark.any_engine


class Rows(Modality):
    """A sample in a line, numbers between 0 and 9."""

    def span(self, x: np.ndarray, name: str) -> tuple[float, float]:
        return 0.0, 9.0

    def readers(self) -> Mapping[str, Reader]:
        return {".rows": lambda content: np.array([[float(n) for n in line.split()] for line in content.splitlines()])}


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> dict[str, Modality]:
    """The kinds that are installed."""
    found: dict[str, Modality] = {"table": Rows(), "signal": Modality()}
    monkeypatch.setattr(files, "known", lambda: found)
    for module in (files, arrays):
        monkeypatch.setattr(module, "of_kind", found.__getitem__)
    return found


def put(folder: Path, **written: str) -> Path:
    for name, text in written.items():
        path = folder / f"{name.replace('__', '/')}.rows"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_file_has_samples_and_the_ending_says_their_kind(tmp_path: Path, kinds: Any) -> None:
    put(tmp_path, a="1 2\n3 4\n5 6\n7 8\n")
    dataset = data.open(f"files:{tmp_path / 'a.rows'}", test=0.25)
    assert (dataset.spec.kind, dataset.spec.shape, dataset.spec.value_range) == ("table", (2,), (0.0, 9.0))
    assert dataset.train.arrays()["x"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert dataset.test.arrays()["x"].tolist() == [[7, 8]]
    assert data.open(dataset.address).fingerprint == dataset.fingerprint


def test_folders_are_classes_and_splits(tmp_path: Path, kinds: Any) -> None:
    put(tmp_path, train__b__1="1 1\n2 2\n", train__a__2="3 3\n", test__a__3="4 4\n", test__b__4="5 5\n")
    dataset = data.open(f"files:{tmp_path}")
    assert dataset.spec.class_names == ("a", "b")
    train, test = dataset.train.arrays(), dataset.test.arrays()
    assert train["x"].tolist() == [[3, 3], [1, 1], [2, 2]] and train["label"].tolist() == [0, 1, 1]
    assert test["x"].tolist() == [[4, 4], [5, 5]] and test["label"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("written", "rest", "words"),
    [
        ({"a": "1 2\n"}, "absent", "is not there"),
        ({"a": "1 2\nx y\n"}, "a.rows", r"a\.rows cannot be read: could not convert"),
        ({"a": ""}, "a.rows", r"a\.rows has no samples"),
        ({"a": "1 2\n", "b": "1 2 3\n"}, ".", r"b\.rows has samples of \(3,\), .*a\.rows of \(2,\)"),
        ({"a__c": "1 2\n", "b": "1 2\n"}, ".", "lies beside class folders"),
    ],
)
def test_what_cannot_be_used_is_named(
    written: dict[str, str], rest: str, words: str, tmp_path: Path, kinds: Any
) -> None:
    put(tmp_path, **written)
    with pytest.raises(DataError, match=words):
        data.open(f"files:{tmp_path / rest}")


def test_a_kind_is_asked_for_where_several_or_none_read_a_file(tmp_path: Path, kinds: dict[str, Modality]) -> None:
    put(tmp_path, a="1 2\n3 4\n")
    address = f"files:{tmp_path / 'a.rows'}"
    with pytest.raises(DataError, match="is not read by that kind"):
        data.open(address, kind="signal")
    kinds["signal"] = Rows()
    with pytest.raises(DataError, match=r"may be table or signal\. Write \?kind=table"):
        data.open(address)
    assert data.open(address, kind="signal").spec.kind == "signal"
    kinds.clear()
    with pytest.raises(DataError, match="has nothing that a modality reads"):
        data.open(address)


def test_arrays_are_of_the_kind_that_is_named() -> None:
    x = np.random.default_rng(0).normal(size=(20, 6, 2))
    spec = data.open(x, kind="signal").spec
    assert (spec.kind, spec.shape, spec.value_range, len(spec.scale)) == ("signal", (6, 2), None, 2)
    assert data.open(x[:, 0], kind="table").spec.kind == "table"
    assert data.open(np.abs(x) / 9, kind="image").spec.shape == (6, 2, 1)
    clips = data.open(np.zeros((20, 3, 6, 2), np.uint8), kind="video")
    assert (clips.spec.shape, clips.spec.value_range) == ((3, 6, 2, 1), (0.0, 1.0))
    with pytest.raises(DataError, match=r"x has the shape \(20, 2\)\. Use \(n, h, w\) or \(n, h, w, channels\)\."):
        data.open(x[:, 0], kind="image")
    with pytest.raises(NotFoundError, match="no modality 'signl'"):
        data.open(x, kind="signl")
