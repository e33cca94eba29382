"""JSON lines: what counts in the loss, how documents share windows, and that none sees another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec
from genloom.errors import DataError
from genloom.model.naming import variable_names
from genloom_language.documents import pack, parts_of
from genloom_language.tokens import load_tokenizer, train_tokenizer, with_special


def written(folder: Path, *lines: Any) -> str:
    file = folder / "lines.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return f"jsonl:{file}"


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def test_what_a_model_is_to_say_counts_and_nothing_else() -> None:
    assert parts_of({"text": "abc"}) == [("abc", True), ("<|end|>", True)]
    asked = [("<|user|>2+2?<|assistant|>", False), ("4", True), ("<|end|>", True)]
    assert parts_of({"prompt": "2+2?", "completion": "4"}) == asked
    assert parts_of({"instruction": "2+2?", "output": "4"}) == asked
    assert parts_of({"instruction": "Add", "input": "2 2", "output": "4"})[0][0] == "<|user|>Add\n2 2<|assistant|>"
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    assert [text for text, said in parts_of({"messages": talk}) if said] == ["Ho", "<|end|>"]


def test_documents_share_windows_and_long_ones_are_cut() -> None:
    sizes = [3, 5, 4, 11]
    documents = [(np.arange(size, dtype="int32") + 10 * i, np.ones(size, bool)) for i, size in enumerate(sizes, 1)]
    packed = pack(documents, 8, end=0)
    assert packed.x[0].tolist() == [10, 11, 12, 20, 21, 22, 23, 24]
    assert packed.document[0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert packed.position[0].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert packed.weight[0].tolist() == [0, 1, 1, 0, 1, 1, 1, 1]
    # 11 tokens are 8 and 3; the 3 find room beside the 4.
    assert packed.x[1].tolist() == [30, 31, 32, 33, 48, 49, 50, 0]
    assert packed.document[1].tolist() == [0, 0, 0, 0, 1, 1, 1, -1]
    assert packed.x[2].tolist() == [40, 41, 42, 43, 44, 45, 46, 47]
    assert sum(sizes) == (packed.document >= 0).sum()


TALK = [{"role": "user", "content": "Hi, é?"}, {"role": "assistant", "content": "né"}]


@pytest.mark.parametrize(
    ("line", "tokenizer", "length", "characters", "tokens"),
    [
        # Of a, b, c, d, e and the end all but the first are predicted; the end is one character, whatever its name.
        ({"text": "abcde"}, "char", 17, 5, 5),
        ({"text": "abcde"}, "byte", 17, 5, 5),
        # Two bytes a letter: the first is not predicted, and so the letter that it begins is none of the seven tokens'.
        ({"text": "éééé"}, "char", 17, 4, 4),
        ({"text": "éééé"}, "byte", 17, 4, 8),
        ({"text": "日b"}, "byte", 17, 2, 4),
        # Of a text in two windows the first token of each is not predicted: of nine bytes the first and the sixth.
        ({"text": "éééé"}, "byte", 5, 4, 7),
        ({"text": "abcdefgh"}, "char", 5, 7, 7),
        # ab, ab, c and the end: three are predicted.
        ({"text": "ababc"}, "bpe", 17, 4, 3),
        # What is asked counts on neither side.
        ({"prompt": "ab" * 40, "completion": "c"}, "char", 257, 2, 2),
        ({"prompt": "ab" * 40, "completion": "é"}, "byte", 257, 2, 3),
        ({"prompt": "é", "completion": "abab"}, "bpe", 257, 5, 3),
        ({"instruction": "é", "input": "é", "output": "é"}, "byte", 257, 2, 3),
        ({"messages": TALK}, "char", 257, 3, 3),
        ({"messages": TALK}, "byte", 257, 3, 4),
        ({"messages": TALK * 2}, "byte", 257, 6, 8),
    ],
)
def test_characters_per_token_are_of_the_tokens_that_are_predicted(
    line: Any, tokenizer: str, length: int, characters: int, tokens: int, tmp_path: Path
) -> None:
    if tokenizer == "bpe":
        tokenizer = str(tmp_path / "t.json")
        train_tokenizer("bpe", "ab" * 9, 257).save(tokenizer)
    data = genloom.data.open(written(tmp_path, *[line] * 20), length=length, tokenizer=tokenizer)
    assert data.test.arrays()["weight"].sum() == 2 * tokens  # two of twenty lines are held out
    assert data.spec.rate == pytest.approx(characters / tokens)


def test_the_end_in_a_plain_text_is_one_character(tmp_path: Path) -> None:
    with_special(train_tokenizer("byte", "")).save(str(tmp_path / "t.json"))
    (tmp_path / "a.txt").write_text("aé<|end|>" * 200)
    data = genloom.data.open(f"text:{tmp_path / 'a.txt'}?tokenizer={tmp_path / 't.json'}&length=9&test=0.5")
    assert data.spec.rate == pytest.approx(3 / 4)
    assert genloom.data.open("play?length=9").spec.rate == 1.0


def test_a_file_becomes_packed_windows_of_its_own_tokens(tmp_path: Path) -> None:
    lines = [{"prompt": f"{i} and {i}?", "completion": f"{2 * i}."} for i in range(40)]
    data = genloom.data.open(written(tmp_path, *lines, ""), length=65, tokenizer="char")
    (tmp_path / "t.json").write_bytes(data.files["tokenizer.json"])
    tokenizer, batch = load_tokenizer(tmp_path / "t.json"), data.test.arrays()
    said = batch["x"][batch["weight"] > 0].tolist()
    # Every tenth line is held out.
    assert tokenizer.decode(said, skip_special_tokens=False) == "".join(f"{2 * i}.<|end|>" for i in (9, 19, 29, 39))
    assert data.spec.vocabulary == tokenizer.get_vocab_size() and "40 lines" in data.notes[0]


SPEC = DataSpec((12,), kind="text", dtype="int32", value_range=None, vocabulary=50)


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_packed_document_costs_what_it_costs_alone(position: str) -> None:
    """No document sees another, wherever it stands and whatever fills the window up."""
    model = genloom.create("language/transformer", SPEC, layers=2, heads=2, width=16, position=position)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(0.4 * rng.standard_normal(variable.shape))
    first, second = (rng.integers(1, 50, size).astype("int32") for size in (5, 7))
    whole = [(first, np.ones(5, bool)), (second, np.ones(7, bool))]
    together, alone = pack(whole, 12, end=0).arrays(), [pack([one], 12, end=0).arrays() for one in whole]

    def sums(batch: dict[str, np.ndarray]) -> tuple[float, float]:
        loss, _, weight = model.loss_of({name: ops.convert_to_tensor(value) for name, value in batch.items()})
        return float(array(loss)) * float(array(weight)), float(array(weight))

    parts = [sums(batch) for batch in alone]
    total, weight = sums(together)
    assert weight == sum(w for _, w in parts) == 4 + 6
    assert total == pytest.approx(sum(value for value, _ in parts), rel=1e-5)
    # And it is what the plain loss says of the document without a window around it.
    plain = -float(array(model.log_prob(first[None]))[0])
    assert parts[0][0] == pytest.approx(plain, rel=1e-5)
    # What fills a window up does not matter.
    other = {**alone[0], "x": np.where(alone[0]["document"] < 0, 7, alone[0]["x"])}
    assert sums(other) == pytest.approx(parts[0], rel=1e-6)


def test_a_batch_in_parts_moves_the_weights_as_the_whole_one() -> None:
    """Parts with few tokens that count weigh little: the gradient is that of all tokens together."""
    rng = np.random.default_rng(1)
    documents = [(rng.integers(1, 50, 12).astype("int32"), np.arange(12) >= first) for first in (11, 2, 6, 9)]
    batch = pack(documents, 12, end=0).arrays()
    moved = []
    for parts in (1, 4):
        model = genloom.create("language/transformer", SPEC, layers=1, heads=2, width=16, compile=False)
        model.compile(keras.optimizers.SGD(0.5), accumulate=parts)
        model.fit(((each,) for each in [batch]), steps_per_epoch=1, shuffle=False, verbose=0)
        moved.append({name: array(v.value) for name, v in variable_names(model).items()})
    for name, value in moved[0].items():
        assert moved[1][name] == pytest.approx(value, abs=1e-5), name


def test_prompts_are_not_learned(tmp_path: Path) -> None:
    """The answers are always the same, the prompts are noise: the loss falls to nothing."""
    rng = np.random.default_rng(0)
    lines = [{"prompt": "".join(rng.choice(list("abcdef"), 6)), "completion": "yes"} for _ in range(200)]
    address = written(tmp_path, *lines)
    run = genloom.train(
        "language/transformer", f"{address}?length=65&tokenizer=char", out=tmp_path / "run",
        options={"layers": 1, "heads": 2, "width": 32, "learning_rate": 0.01}, steps=120, batch_size=8,
        sample_every=0, progress="none",
    )  # fmt: skip
    losses = [line["losses"]["val_loss"] for line in run.log() if "val_loss" in line.get("losses", {})]
    assert losses[-1] < 0.02
    answers = genloom.sample(run, 2, condition={"prompt": "<|user|>abcabc<|assistant|>"}, temperature=0.0)
    assert all("yes" in text for text in answers.samples[:, 0])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "Line 2 of .* cannot be used: Expecting property name enclosed in double quotes at character 2"),
        ("3", "no object"),
        ('{"a": 1}', '"prompt" with'),
        ('{"text": "<|assistant|>yes"}', "special token"),
        ('{"messages": [{"role": "x"}]}', "a message is"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(line: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        genloom.data.open(written(tmp_path, {"text": "abc"}, line))


def test_lines_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    address = written(tmp_path, {"text": "abc"}, "{", {"text": "abc"}, "3", {"a": 1})
    with pytest.raises(DataError, match=r"^3 lines of .* cannot be used, first line 2: Expecting property name"):
        genloom.data.open(address)


def test_files_that_are_absent_or_too_short_are_refused(tmp_path: Path) -> None:
    for address, words in (("jsonl:", "names no file"), ("jsonl:absent", "cannot be read")):
        with pytest.raises(DataError, match=words):
            genloom.data.open(address)
    with pytest.raises(DataError, match="needs 10"):
        genloom.data.open(written(tmp_path, {"text": "abc"}))
