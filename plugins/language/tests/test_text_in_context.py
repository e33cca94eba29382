"""What tokens say is asked of all of them: many tokenizers leave out the space before a text's first word."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from click.testing import CliRunner
from tokenizers import decoders, models, normalizers, processors

import genloom
from genloom import DataSpec
from genloom_language import command
from genloom_language.choosing import Rules
from genloom_language.ending import NOTHING, until
from genloom_language.prompting.harness import _generated
from genloom_language.prompting.scoring import Scorer, encode_pair
from genloom_language.prompting.task import Item, Task
from genloom_language.streaming import Stream
from genloom_language.tokens import (
    SPECIAL,
    decode_after,
    encode,
    first_token,
    opening,
    shortened,
    train_tokenizer,
    with_special,
)

END, HALF = SPECIAL["end"], "\N{REPLACEMENT CHARACTER}"
TEXT = "to be, or not to be — naïve — 日本 😀\n"


def pieces(opened: bool = True) -> Any:
    """A tokenizer as Llama's: a space before each text, which is left out again, and bytes where it knows no letter."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words += [*"▁tobernad,fgp", "▁t", "▁to", "be", "▁be", "or", "▁or", "▁not", "no", "not"]
    pairs = "▁ t|▁t o|b e|▁ be|o r|▁ or|n o|no t|▁ not"
    merges = [(first, second) for first, second in (pair.split() for pair in pairs.split("|"))]
    made = tokenizers.Tokenizer(
        models.BPE({word: i for i, word in enumerate(words)}, merges, unk_token="<unk>", byte_fallback=True)
    )
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.add_special_tokens(["<s>", "</s>"])
    if opened:
        made.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 1)])
    return made


def words() -> Any:
    """A tokenizer of whole words, which are joined by spaces."""
    made = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "to": 1, "be": 2, "or": 3, "not": 4}, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return made


TOKENIZERS: dict[str, Any] = {
    "pieces": pieces,
    "pieces without a beginning": lambda: pieces(opened=False),
    "pieces with speakers": lambda: with_special(pieces()),
    "bytes": lambda: with_special(train_tokenizer("byte", TEXT)),
    "byte pairs": lambda: with_special(train_tokenizer("bpe", TEXT * 9, 270)),
    "letters": lambda: with_special(train_tokenizer("char", TEXT)),
}


def reading(tokenizer: Any, length: int = 24) -> Any:
    """A model with weights that are large enough to say something, and a tokenizer."""
    spec = DataSpec((length,), kind="text", dtype="int32", value_range=None, vocabulary=tokenizer.get_vocab_size())
    model = genloom.create("language/transformer", spec, layers=1, heads=2, width=16)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(0.4 * rng.standard_normal(variable.shape))
    model.tokenizer, model.start = tokenizer, first_token(tokenizer)
    return model


def said(tokenizer: Any, row: Any) -> str:
    return str(tokenizer.decode([token for token in row if token != NOTHING], skip_special_tokens=False))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_text_ends_before_its_stop_and_begins_as_it_did(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    given = [*opening(tokenizer), *encode(tokenizer, "to be")]
    ids = [*opening(tokenizer), *encode(tokenizer, "to be, or not to be — naïve — 日本 😀")]
    if tokenizer.token_to_id(END) is not None:
        ids += [tokenizer.token_to_id(END)] * 3
    tokens, whole, before = np.array([ids], "int32"), said(tokenizer, ids), said(tokenizer, given)
    text = whole.replace(END, "\0" * len(END))  # the name of the end is none of the text
    for stop in (" ", "or", " or", "r n", "not to", "ot", "e", ", o", "ï", "本", "😀", "end", "absent", "— "):
        place = text.find(stop, len(before))
        cut = until(tokenizer, tokens, np.array([len(given)]), stop)[0]
        assert said(tokenizer, cut) == (whole if place < 0 else whole[:place]), stop
        assert cut[: len(given)].tolist() == given


def test_a_stop_within_a_word_that_has_no_parts_ends_before_the_word() -> None:
    tokenizer = words()
    tokens = np.array([[1, 2, 3, 4]], "int32")
    for stop, expected in {"or": "to be", "r n": "to be", " not": "to be or", "ot": "to be or"}.items():
        assert said(tokenizer, until(tokenizer, tokens, np.array([1]), stop)[0]) == expected


def test_a_stop_that_is_a_special_token_is_found() -> None:
    tokenizer = with_special(train_tokenizer("char", TEXT))
    ids = encode(tokenizer, f"to be{SPECIAL['user']}or not{END}")
    assert said(tokenizer, until(tokenizer, ids[None], np.array([1]), SPECIAL["user"])[0]) == "to be"
    assert said(tokenizer, until(tokenizer, ids[None], np.array([1]), "s")[0]) == said(tokenizer, ids)


def test_what_follows_is_read_behind_what_was_given() -> None:
    tokenizer = pieces()
    ids = [*opening(tokenizer), *encode(tokenizer, "to be or")]
    assert decode_after(tokenizer, ids, 2) == " be or" and tokenizer.decode(ids[2:]) == "be or"
    assert decode_after(words(), [1, 2, 3], 1) == " be or"


@pytest.mark.parametrize("name", [*TOKENIZERS, "words"])
def test_a_stream_says_what_a_sample_says_letter_for_letter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = words() if name == "words" else TOKENIZERS[name]()
    model = reading(tokenizer)
    tail = ([2, 3, 4, 1] if name == "words" else encode(tokenizer, " be, or not — 日本 😀").tolist()) * 2
    given = [1, 2] if name == "words" else [*opening(tokenizer), *encode(tokenizer, "to be")]
    row = np.array([given + [0] * (model.length - len(given))], "int32")
    condition = {"tokens": row, "given": np.array([len(given)], "int32")}
    monkeypatch.setattr(model, "read_condition", lambda asked, n: condition)
    stream = Stream(model, Rules())
    for count in range(len(tail) + 1):  # wherever it ends, in the middle of a letter as well
        monkeypatch.setattr(stream, "_tokens", lambda *_, count=count: iter(tail[:count]))
        expected = tokenizer.decode(given + tail[:count])[len(tokenizer.decode(given)) :]
        told = list(stream("to be", count))
        assert all(told)  # nothing empty
        if name.startswith("pieces") and expected.endswith(HALF):  # of bytes in a row it reads all as letters, or none
            assert "".join(told).rstrip(HALF).startswith(expected.rstrip(HALF))
        else:
            assert "".join(told) == expected


def test_a_stream_of_a_tokenizer_with_a_beginning_keeps_it_when_the_context_is_full() -> None:
    model = reading(pieces(), length=9)
    stream, windows = Stream(model, Rules(temperature=1.5)), []
    begin = stream._begin

    def noting(tokens: Any, given: Any, keys: Any) -> Any:
        windows.append(np.asarray(tokens)[0, : int(np.asarray(given)[0])].tolist())
        return begin(tokens, given, keys)

    stream._begin = noting
    drawn = list(itertools.islice(stream._tokens(*_asked(model, "to be")), 20))
    whole = [1, *encode(model.tokenizer, "to be"), *drawn]
    assert windows[0] == whole[:3]
    assert windows[1] == [1, *whole[5:9]]  # nine were full: the beginning, and the second half of what follows
    assert len(windows) > 2 and all(window[0] == 1 for window in windows)


def _asked(model: Any, prompt: str) -> tuple[np.ndarray, int, int]:
    arrays = model.read_condition({"prompt": prompt}, 1)
    return np.array(arrays["tokens"]), int(arrays["given"][0]), 100


def test_what_a_tokenizer_puts_before_a_text_stands_there_in_training_and_in_use(tmp_path: Path) -> None:
    tokenizer = with_special(pieces())
    tokenizer.save(str(file := tmp_path / "t.json"))
    text, question = encode(tokenizer, "to be or not").tolist(), encode(tokenizer, "to be").tolist()
    (tmp_path / "a.jsonl").write_text('{"text": "to be or not"}\n' * 20)
    lines = genloom.data.open(f"jsonl:{tmp_path / 'a.jsonl'}?tokenizer={file}&length={len(text) + 2}").train.arrays()
    assert lines["x"][0].tolist() == [1, *text, tokenizer.token_to_id(END)]
    assert lines["weight"][0].tolist() == [0] + [1] * (len(text) + 1)  # it is given, and the first word is predicted
    parts = genloom.data.open(f"jsonl:{tmp_path / 'a.jsonl'}?tokenizer={file}&length=4").train.arrays()
    begins = (parts["position"] == 0) & (parts["document"] >= 0)
    assert (parts["x"][begins] == 1).all() and begins.sum() == 2 * 18  # each of two parts

    (tmp_path / "a.txt").write_text("to be or not " * 40)
    plain = genloom.data.open(f"text:{tmp_path / 'a.txt'}?tokenizer={file}&length=9&stride=9&test=0.5")
    for split in (plain.train, plain.test):
        assert (split.arrays()["x"][:, 0] == 1).all() and (split.arrays()["x"][:, 1:] != 1).all()
    windows = plain.test.arrays()["x"][:, 1:]  # which follow each other: each token is predicted once
    assert windows.ravel().tolist() == encode(tokenizer, "to be or not " * 20)[: windows.size].tolist()

    model = reading(tokenizer)
    assert model.read_condition({"prompt": "to be"}, 1)["tokens"][0, : len(question) + 1].tolist() == [1, *question]
    assert encode_pair(model, "to be", " or")[0].tolist() == [1, *question]
    assert encode_pair(model, "", "to")[0].tolist() == [1]
    assert shortened(np.array([1, *text]), 4, 1).tolist() == [1, *text[-3:]]


def test_a_score_and_an_answer_keep_the_beginning_of_a_context_that_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = reading(pieces(), length=9), []
    scorer = Scorer(model)
    monkeypatch.setattr(scorer, "_all", lambda x, counts: (seen.append(x), (np.zeros(1), np.zeros(1, bool)))[1])
    assert scorer(["to be or " * 5], ["not"]).cut[0] > 0

    def sample(model: Any, n: int, condition: Any, **_: Any) -> Any:
        seen.append(condition["tokens"])
        return genloom.Samples(condition["tokens"], model.spec, seeds=np.zeros((n, 2), int))

    monkeypatch.setattr(genloom, "sample", sample)
    task = Task("t", "generation", (Item({"prompt": "to"}, ("be or",)),), "{prompt}", answer_tokens=4)
    assert _generated(model, task, ["to be or " * 5])[1][0] > 0
    whole = [1, *encode(model.tokenizer, "to be or " * 5 + "not").tolist()]
    assert seen[0][0].tolist() == [1, *whole[-8:]]
    assert seen[1][0, 0] == 1 and seen[1][0, 1] != 1


def test_chat_prints_the_space_of_the_first_word_and_ends_at_a_line_as_a_sample_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = reading(pieces())
    monkeypatch.setattr(genloom, "load", lambda run: model)
    tail = encode(model.tokenizer, "be or not\nto be").tolist()
    monkeypatch.setattr(Stream, "_tokens", lambda *_: iter(tail))
    for stop, expected in {None: " be or not\nto be\n", "\\n": " be or not\n", "t\\nt": " be or no\n"}.items():
        done = CliRunner().invoke(command.chat, ["run", *([] if stop is None else ["--stop", stop])], input="to\n")
        assert done.stdout == expected, done.exception


def test_an_answer_of_a_task_is_read_behind_its_question(monkeypatch: pytest.MonkeyPatch) -> None:
    model = reading(pieces(opened=False), length=24)
    answer = encode(model.tokenizer, "be or\nto").tolist()

    def sample(model: Any, n: int, condition: Any, max_tokens: int, **_: Any) -> Any:
        rows = np.where(condition["tokens"] < 0, 0, condition["tokens"])
        for row, start in zip(rows, condition["given"], strict=True):
            row[start : start + max_tokens] = (answer + [0] * max_tokens)[:max_tokens]
        return genloom.Samples(rows, model.spec, seeds=np.zeros((n, 2), int))

    monkeypatch.setattr(genloom, "sample", sample)
    task = Task("t", "generation", (Item({"prompt": "to"}, ("be or",)),), "{prompt}", answer_tokens=8)
    assert _generated(model, task, ["to", "not to"])[0] == [" be or"] * 2
