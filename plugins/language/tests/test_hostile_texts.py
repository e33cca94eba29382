"""Texts that never end, and lines and words without end, are a clear error or read in bounded time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import genloom
from genloom.errors import ConfigError, DataError
from genloom_language import reading
from genloom_language.published.files import read_json
from genloom_language.reading import lines
from genloom_language.tokens import _short_words, encode, load_tokenizer, train_tokenizer

pytestmark = pytest.mark.any_engine

SECONDS = 20.0  # 200,000 letters without a space took 36 s, ten times as many 100 times as long


@pytest.mark.parametrize("scheme", ["text", "jsonl"])
def test_a_pipe_or_a_device_is_no_text(scheme: str, tmp_path: Path) -> None:
    files = [Path("/dev/zero")] if Path("/dev/zero").exists() else []
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.txt")
        files.append(tmp_path / "pipe.txt")
    for file in files:
        with pytest.raises(DataError, match="it is not a plain file"):
            genloom.data.open(f"{scheme}:{file}")
    if hasattr(os, "mkfifo"):
        with pytest.raises(DataError, match="it is not a plain file"):
            genloom.data.open(f"text:{tmp_path}")


@pytest.mark.parametrize("scheme", ["text", "jsonl"])
def test_a_file_with_a_hole_of_gigabytes_is_refused_at_once(scheme: str, tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(40 << 30)
    with pytest.raises(DataError, match=r"has 42,949,672,960 bytes of text, where 17,179,869,184 are the most"):
        genloom.data.open(f"{scheme}:{tmp_path / 'a.txt'}")


def test_a_tokenizer_of_a_size_that_none_has_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "tokenizer.json", "wb") as file:
        file.truncate(40 * 2**30)
    with pytest.raises(ConfigError, match="it has 42,949,672,960 bytes"):
        load_tokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(DataError, match="it has 42,949,672,960 bytes"):
        read_json(tmp_path / "tokenizer.json")
    (tmp_path / "config.json").write_text('{"a": ' + "[" * 900 + "]" * 900 + "}")
    with pytest.raises(DataError, match="lie within each other"):
        read_json(tmp_path / "config.json")


def test_byte_pairs_of_a_word_without_end_are_learned_in_bounded_time() -> None:
    begin = time.monotonic()
    text = "abcdefgh" * 100_000
    tokenizer = train_tokenizer("bpe", text, 265)
    assert tokenizer.decode(encode(tokenizer, text).tolist()) == text
    assert time.monotonic() - begin < SECONDS


def test_words_of_ordinary_length_are_learned_whole() -> None:
    word, rest = "ab" * 512, " some words, 12 and\n\n more " * 20
    assert list(_short_words(word + rest)) == [word + rest]
    assert list(_short_words(f"x {word}c y")) == [f"x {word}", "c y"]
    assert "".join(_short_words(word * 7 + rest)) == word * 7 + rest
    assert max(map(len, _short_words("1" * 5_000 + "_" * 5_000 + " " * 5_000))) <= 2 * 1_024


def test_lines_are_joined_over_parts_and_one_without_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(lines(["a\nb", "c", "\n\nd\n", "e"], "x")) == ["a", "bc", "", "d", "e"]
    assert list(lines(["a\n"], "x")) == ["a"] and list(lines([], "x")) == []
    monkeypatch.setattr(reading, "LONGEST", 10)
    with pytest.raises(DataError, match="Line 3 of 'x' has more than 10 characters"):
        list(lines(["a\nb\n", *["c" * 5] * 3], "x"))
