"""Tokens and words: what the tokenizers know, and what the post-processors of text make of it."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

import genloom
from genloom import DataSpec, Samples
from genloom.errors import ConfigError, DataError, RunError
from genloom.postprocess import Origin, chain
from genloom.testing import ModalityConformance, PostprocessorConformance
from genloom_language.tokens import encode, load_tokenizer, train_tokenizer

pytestmark = pytest.mark.any_engine

WORDS = DataSpec((1,), kind="text", dtype="str", value_range=None)


class TestText(ModalityConformance):
    id, hooks, spec = "language/text", "genloom_language", WORDS

    def samples(self) -> Samples:
        return Samples(np.array([["a line"], ["two\nlines"]]), WORDS)


class TestStrip(PostprocessorConformance):
    id, hooks, spec, options = "language/strip", "genloom_language", WORDS, {"stop": "."}

    def samples(self) -> np.ndarray:
        return np.array([f" line {i}. more" for i in range(8)])[:, None]


def process(text: str, samples: Any, spec: DataSpec, origin: Any = None) -> Samples:
    seeds = np.stack([np.zeros(len(samples), int), np.arange(len(samples))], axis=1)
    return chain([text])(Samples(np.asarray(samples), spec, seeds=seeds), origin)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A file of a tokenizer of five words, one of them special."""
    words = {"<end>": 0, "to": 1, "be": 2, "or": 3, "not": 4}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<end>"))
    made.add_special_tokens(["<end>"])
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


TOKENS = DataSpec((6,), kind="text", dtype="int32", value_range=None, vocabulary=5)
LINE = np.array([[1, 2, 3, 4, 1, 2], [1, 2, 0, 0, 0, 0]], "int32")


def test_tokens_become_text_by_a_file_or_by_the_runs_tokenizer(tokenizer: Path) -> None:
    made = process(f"language/detokenise:tokenizer={tokenizer}", LINE, TOKENS)
    assert made.samples.tolist() == [["to be or not to be"], ["to be"]]
    assert made.spec == WORDS and made.seeds.tolist() == [[0, 0], [0, 1]]
    run = Origin(run=types.SimpleNamespace(path=tokenizer.parent))
    assert process("language/detokenise", LINE, TOKENS, origin=run).samples.tolist() == made.samples.tolist()
    kept = process(f"language/detokenise:tokenizer={tokenizer},skip_special=false", LINE[1:], TOKENS)
    assert kept.samples[0, 0] == "to be <end> <end> <end> <end>"


def test_texts_end_at_a_stop_and_lose_their_white_space() -> None:
    texts = np.array(["  to be. or\n", "\nnot ", "to. be"])[:, None]
    assert process("language/strip", texts, WORDS).samples[:, 0].tolist() == ["to be. or", "not", "to. be"]
    assert process("language/strip:stop=.", texts, WORDS).samples[:, 0].tolist() == ["to be", "not", "to"]


def test_text_without_a_tokenizer_or_without_words_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not known which tokenizer"):
        process("language/detokenise", LINE, TOKENS)
    with pytest.raises(ConfigError, match="Put detokenise before"):
        process("language/strip", LINE, TOKENS)
    with pytest.raises(ConfigError, match="knows 5 tokens, the data have 9"):
        process(f"language/detokenise:tokenizer={tokenizer}", LINE, TOKENS.replace(vocabulary=9))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read as a tokenizer"):
        process(f"language/detokenise:tokenizer={tmp_path / 'broken.json'}", LINE, TOKENS)
    run = Origin(run=types.SimpleNamespace(path=tmp_path))
    tokenizer.write_text("{")
    with pytest.raises(RunError, match=r"cannot be read as a tokenizer: .*Restore it from a copy"):
        process("language/detokenise", LINE, TOKENS, run)


TEXT = "To be, or not to be: that is the question.\nWhether 'tis nobler — naïve — in the mind\n" * 40


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_every_tokenizer_brings_its_text_back(kind: str, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(kind, TEXT, 300)
    tokens = encode(tokenizer, TEXT)
    assert tokenizer.decode(tokens.tolist()) == TEXT
    assert tokens.dtype == np.int32 and tokens.max() < tokenizer.get_vocab_size()
    tokenizer.save(str(tmp_path / "t.json"))
    assert np.array_equal(encode(load_tokenizer(tmp_path / "t.json"), TEXT), tokens)


def test_how_many_tokens_each_has() -> None:
    characters, by_bytes, pairs = (train_tokenizer(kind, TEXT, 300) for kind in ("char", "byte", "bpe"))
    assert characters.get_vocab_size() == len(set(TEXT)) and len(encode(characters, TEXT)) == len(TEXT)
    assert by_bytes.get_vocab_size() == 256 and len(encode(by_bytes, TEXT)) == len(TEXT.encode())
    assert pairs.get_vocab_size() == 300 and len(encode(pairs, TEXT)) < 0.6 * len(TEXT)
    # The first letter of a line's end is token 0 of characters: what samples begin with.
    assert characters.decode([0]) == "\n"


def test_a_character_that_is_not_known_is_named() -> None:
    with pytest.raises(DataError, match=r"'z' \(character 3"):
        encode(train_tokenizer("char", "to be"), "to z")
    with pytest.raises(DataError, match="not 5000"):
        train_tokenizer("bpe", TEXT, 5000)


def test_long_text_is_cut_at_lines_and_nothing_is_lost() -> None:
    text = "".join(f"line {i}\n" for i in range(60_000)) + "x" * 300_000  # longer than a part, and without a line's end
    tokenizer = train_tokenizer("char", text)
    assert tokenizer.decode(encode(tokenizer, text)[:200].tolist()) == text[:200]
    assert len(encode(tokenizer, text)) == len(text)


def test_a_text_is_read_by_the_tokenizer_of_another(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt").write_text(TEXT[::-1])
    first = genloom.data.open(f"text:{tmp_path / 'a.txt'}?length=9")
    (tmp_path / "tokenizer.json").write_bytes(first.files["tokenizer.json"])
    second = genloom.data.open(f"text:{tmp_path / 'b.txt'}?length=9&tokenizer={tmp_path / 'tokenizer.json'}")
    assert second.files == first.files and second.spec.vocabulary == first.spec.vocabulary
    with pytest.raises(ConfigError, match="Did you mean 'char'"):
        genloom.data.open(f"text:{tmp_path / 'b.txt'}?tokenizer=chars")


def test_windows_overlap_in_training_and_not_where_they_are_held_out(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    data = genloom.data.open(f"text:{tmp_path / 'a.txt'}?length=9&test=0.25")
    train, test = data.train.arrays()["x"], data.test.arrays()["x"]
    assert np.array_equal(train[1:, :-1], train[:-1, 1:])  # one token further each time
    assert np.array_equal(test[1:, 0], test[:-1, -1])  # each token but the first is predicted once
    tokenizer = load_tokenizer_of(data, tmp_path)
    cut = round(len(TEXT) * 0.75)
    assert tokenizer.decode(train[0].tolist()) == TEXT[:9]
    assert tokenizer.decode(test[0].tolist()) == TEXT[cut : cut + 9]
    rest, aside = data.train.set_aside(0.1)
    assert len(aside.tokens) == round(cut * 0.1)
    assert np.array_equal(np.concatenate([rest.tokens, aside.tokens]), data.train.tokens)


def load_tokenizer_of(data: Any, folder: Path) -> Any:
    (folder / "kept.json").write_bytes(data.files["tokenizer.json"])
    return load_tokenizer(folder / "kept.json")


@pytest.mark.parametrize(
    ("address", "words"),
    [("text:", "names no file"), ("text:absent.txt", "cannot be read"), ("play:more", "nothing after it"),
     ("play?length=90000", "fewer than two samples"), ("play?length=5&stride=6", "leaves tokens out")],
)  # fmt: skip
def test_text_that_cannot_be_used_is_refused(address: str, words: str) -> None:
    with pytest.raises((ConfigError, DataError), match=words):
        genloom.data.open(address)
