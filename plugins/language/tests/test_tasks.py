"""Tasks: examples, templates and files, and what is measured of answers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from genloom.errors import ConfigError, DataError
from genloom_language.prompting import Item, Task, load_task
from genloom_language.prompting.measures import (
    choice_measures,
    cloze_measures,
    exact_match,
    generation_measures,
    token_f1,
)

pytestmark = pytest.mark.any_engine


def task(kind: str, *items: Item, **given: Any) -> Task:
    return Task("letters", kind, items, **{"template": "{question}", "answer": "{answer}", "separator": " ", **given})


def asked(question: str, *answers: str, correct: int = 0) -> Item:
    return Item({"question": question}, answers, correct)


def test_an_item_is_never_among_its_own_examples() -> None:
    items = [asked(letter, letter.upper()) for letter in "abcdef"] + [asked("a", "A")]  # one is there twice
    made = task("cloze", *items)
    for index, item in enumerate(items):
        for seed in range(20):
            examples = made.context(index, 5, seed).split(" ")[:-1]
            assert len(examples) == 5 and item.fields["question"] + item.answer not in examples
    assert made.context(1, 5, 3).startswith(made.context(1, 2, 3).rpartition(" ")[0])
    assert len({made.context(1, 3, seed) for seed in range(9)}) > 3
    other = task("cloze", *items, pool=tuple(asked(letter, "1") for letter in "xyz"))
    assert sorted(other.context(0, 3, 0).split(" ")) == ["a", "x1", "y1", "z1"]


def written(folder: Path, *lines: Any, shots: tuple[Any, ...] = (), **stated: Any) -> Path:
    (folder / "items.jsonl").write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    stated = {"items": "items.jsonl", **stated}
    if shots:
        (folder / "shots.jsonl").write_text("\n".join(json.dumps(x) for x in shots))
        stated["shots"] = "shots.jsonl"
    file = folder / "letters.toml"
    file.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in stated.items()))
    return file


CHOICE = {"question": "b", "choices": ["c", "x"], "answer": 0, "topic": "letters", "year": 7}


def test_a_task_file_says_how_questions_are_put(tmp_path: Path) -> None:
    shot = {**CHOICE, "question": "k", "choices": ["y", "l"], "answer": 1}
    template = "{{{topic}, {year}}} {question} is before"
    found = load_task(written(tmp_path, CHOICE, "", shots=(shot,), template=template, k=1))
    assert (found.name, found.kind, found.k, len(found.items)) == ("letters", "choice", 1, 1)
    assert found.context(0, 1, 0) == "{letters, 7} k is before l\n\n{letters, 7} b is before"
    before = found.digest
    again = load_task(written(tmp_path, CHOICE, shots=({**shot, "answer": 0},), template=template, k=1))
    assert again.digest != before
    cloze = load_task(written(tmp_path, {"text": "abc", "answer": "d"}, kind="cloze", answer="{answer}"))
    assert cloze.example(cloze.items[0]) == "abcd"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{qestion}", "asks for {qestion}, which line 2 of .*question"),
        ("{answer}", "asks for {answer}"),
        ("{question.upper}", "asks for"),
        ("{question!r}", "asks for {question!r}"),
        ("{question:>9}", "asks for"),
        ("{", "cannot be read"),
    ],
)
def test_a_template_that_does_not_fit_an_item_is_refused(template: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        load_task(written(tmp_path, "", CHOICE, template=template))


@pytest.mark.parametrize(
    ("kind", "line", "words"),
    [
        ("choice", "{", "Line 2 of"),
        ("choice", "[1]", "no object"),
        ("choice", {**CHOICE, "choices": ["c"]}, "two texts or more"),
        ("choice", {**CHOICE, "choices": ["c", ""]}, "none of them empty"),
        ("choice", {**CHOICE, "answer": 2}, "0 to 1, not 2"),
        ("choice", {**CHOICE, "answer": True}, "not True"),
        ("choice", {**CHOICE, "shots": "x"}, "list of texts"),
        ("cloze", {"text": "a", "answer": 3}, '"answer" is a text'),
        ("generation", {"prompt": "a"}, '"answer" is a text'),
    ],
)
def test_a_line_that_is_no_item_is_named(kind: str, line: Any, words: str, tmp_path: Path) -> None:
    good = {"text": "a", "prompt": "a", "answer": "b"} if kind != "choice" else CHOICE
    with pytest.raises(DataError, match=words):
        load_task(written(tmp_path, good, line, kind=kind))


def test_task_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "torn.toml").write_text("name = ")
    for name, words in (("absent.toml", "cannot be read"), ("torn.toml", "is no TOML")):
        with pytest.raises(ConfigError, match=words):
            load_task(tmp_path / name)
    for stated, words in (
        ({"items": ""}, "names no items"),
        ({"items": "absent.jsonl"}, "cannot be read"),
        ({"kind": "chioce"}, "'kind' cannot be 'chioce'"),
        ({"seperator": ""}, "Did you mean 'separator'"),
        ({"k": -1}, "at least 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_task(written(tmp_path, CHOICE, **stated))
    with pytest.raises(ConfigError, match="no items"):
        load_task(written(tmp_path, ""))
    for address in ("cipher:x", "cipher:27", "cipher:3"):
        with pytest.raises(ConfigError, match="has 4 to 26 letters"):
            load_task(address)


def test_the_chance_of_a_choice_is_the_mean_of_one_in_the_number_of_answers() -> None:
    items = [asked("", "a", "b"), asked("", "a", "b", "c", "d"), asked("", "xxxx", "y", correct=0)]
    plain, per_character = choice_measures(items, [[-1.0, -2.0], [-3.0, -2.0, -9.0, -9.0], [-4.0, -2.0]])
    assert plain.floor == per_character.floor == pytest.approx((1 / 2 + 1 / 4 + 1 / 2) / 3)
    assert plain.each.tolist() == [1, 0, 0]
    assert per_character.each.tolist() == [1, 0, 1]  # −4 over four characters is more than −2 over one
    # √(p (1 − p) / (n − 1)) with p = 1/3.
    assert plain.stderr == pytest.approx(math.sqrt(1 / 3 * 2 / 3 / 2))


def test_the_chance_of_a_text_is_the_most_frequent_answer() -> None:
    items = [asked("", "red"), asked("", "The red!"), asked("", "blue sea")]
    exact, overlap = generation_measures(items, ["a red", "blue", "sea, the blue"])
    assert exact.floor == pytest.approx(2 / 3) and overlap.floor == pytest.approx(2 / 3)
    assert exact.each.tolist() == [1, 0, 0] and overlap.each.tolist() == [1, 0, 1]
    accuracy, perplexity = cloze_measures(items[:2], [-1.0, -3.0], [True, False])
    assert accuracy.floor == 0.5 and perplexity.value == pytest.approx(math.exp(2.0))
    assert perplexity.stderr == pytest.approx(math.exp(2.0) * math.sqrt(2.0 / 2))  # deviation √2 over √2 items


def test_texts_are_compared_as_in_squad() -> None:
    assert exact_match("The  Eiffel-Tower.", "eiffeltower") and not exact_match("tower", "towers")
    # 2 of 3 words given are right, 2 of 4 right ones given: 2 · (2/3 · 1/2) / (2/3 + 1/2).
    assert token_f1("red big cat", "the red cat sat down") == pytest.approx(4 / 7)
    assert token_f1("", "x") == 0.0 and token_f1("the", "a") == 1.0
