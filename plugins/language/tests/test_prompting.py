"""The prompting harness: scores against plain NumPy, tasks with known answers, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from keras import ops

import genloom
from genloom import DataSpec
from genloom.errors import ConfigError, DataError
from genloom_language.model import Transformer
from genloom_language.prompting import Item, Task, load_task, prompt, score
from genloom_language.prompting.command import prompt as command
from genloom_language.prompting.measures import (
    choice_measures,
    cloze_measures,
    exact_match,
    generation_measures,
    token_f1,
)
from genloom_language.prompting.scoring import encode_pair
from genloom_language.tokens import encode, first_token, train_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEXT = "the cat sat on the mat and the dog sat on the log\n" * 20


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def equipped(model: Any, tokenizer: Any) -> Any:
    model.tokenizer, model.start = tokenizer, first_token(tokenizer)
    return model


def spec(tokenizer: Any, length: int) -> DataSpec:
    vocabulary = tokenizer.get_vocab_size()
    return DataSpec((length,), kind="text", dtype="int32", value_range=None, vocabulary=vocabulary)


def made(tokenizer: Any, length: int = 12) -> Any:
    """A model with random weights that are large enough for every token to matter."""
    model = genloom.create("language/transformer", spec(tokenizer, length), layers=2, heads=2, width=16)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(0.4 * rng.standard_normal(variable.shape))
    return equipped(model, tokenizer)


class Alphabet(Transformer):
    """Says the letter that follows in the alphabet, surely."""

    def logits(self, x: Any, training: bool = False, document: Any = None, place: Any = None) -> Any:
        following = (ops.cast(x, "int32") + 1) % self.spec.vocabulary
        names = ops.arange(self.spec.vocabulary, dtype="int32")
        return 20.0 * ops.cast(ops.equal(following[..., None], names), "float32")

    def caches(self, n: int) -> list[Any]:
        return []  # its tokens are drawn from `logits`


def alphabet(length: int = 16) -> Any:
    tokenizer = train_tokenizer("char", "\n " + LETTERS)
    return equipped(Alphabet(spec(tokenizer, length), layers=1, heads=1, width=2), tokenizer)


def task(kind: str, *items: Item, **given: Any) -> Task:
    return Task("letters", kind, items, **{"template": "{question}", "answer": "{answer}", "separator": " ", **given})


def asked(question: str, *answers: str, correct: int = 0) -> Item:
    return Item({"question": question}, answers, correct)


# Scores.


def plain(model: Any, before: np.ndarray, after: np.ndarray) -> tuple[float, bool]:
    """The sum of log softmax at the continuation's places, of one row without padding."""
    whole = np.concatenate([before, after])
    logits = array(model.logits(whole[None, :-1]))[0].astype(np.float64)[len(before) - 1 :]
    logs = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True)) - logits.max(
        -1, keepdims=True
    )
    return float(logs[np.arange(len(after)), after].sum()), bool((logits.argmax(-1) == after).all())


PAIRS = [("the cat", " sat"), ("the", " mat and"), ("", "cat"), ("sat on the", " log"), ("a", " log\nthe")]


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_a_score_is_the_sum_of_log_probabilities_of_the_continuation(kind: str) -> None:
    model = made(train_tokenizer(kind, TEXT, 275))
    contexts, continuations = zip(*PAIRS, strict=True)
    found = score(model, contexts, continuations, batch_size=4)
    for row, (context, continuation) in enumerate(PAIRS):
        begin = encode(model.tokenizer, context) if context else np.array([model.start], np.int32)
        assert found.tokens[row] == len(encode(model.tokenizer, continuation)) and found.cut[row] == 0
        value, greedy = plain(model, begin, encode(model.tokenizer, continuation))
        assert found.log_likelihood[row] == pytest.approx(value, abs=1e-4)
        assert found.greedy[row] == greedy


def test_a_score_does_not_depend_on_its_batch() -> None:
    model = made(train_tokenizer("char", TEXT))
    contexts, continuations = zip(*PAIRS, strict=True)
    together = score(model, contexts, continuations)
    for size in (1, 5):
        apart = score(model, contexts, continuations, batch_size=size)
        assert apart.log_likelihood == pytest.approx(together.log_likelihood, abs=1e-5)
        assert np.array_equal(apart.greedy, together.greedy)


def test_the_greedy_continuation_is_known_as_such() -> None:
    model = made(train_tokenizer("char", TEXT))
    ids = list(encode(model.tokenizer, "the c"))
    for _ in range(3):
        ids.append(int(array(model.logits(np.array([ids], np.int32)))[0, -1].argmax()))
    right = model.tokenizer.decode(ids[5:])
    wrong = right[:2] + next(letter for letter in "abcde" if letter != right[2])
    assert score(model, ["the c"] * 2, [right, wrong]).greedy.tolist() == [True, False]


def test_a_long_context_loses_its_beginning() -> None:
    model = made(train_tokenizer("char", TEXT))
    context = "the dog sat on the mat"
    long, short = score(model, [context, context[-9:]], ["and"] * 2).log_likelihood
    found = score(model, [context, context[-9:]], ["and"] * 2)
    assert long == pytest.approx(short, abs=1e-5)
    assert found.cut.tolist() == [len(context) + 3 - 12, 0] and found.tokens.tolist() == [3, 3]


def test_a_pair_is_divided_as_lm_evaluation_harness_divides_it() -> None:
    tokenizer = train_tokenizer("bpe", TEXT, 275)
    model = made(tokenizer, 40)

    def theirs(context: str, continuation: str) -> tuple[list[int], list[int]]:
        spaces = len(context) - len(context.rstrip())
        if spaces > 0:
            continuation = context[-spaces:] + continuation
            context = context[:-spaces]
        whole, before = (tokenizer.encode(text).ids for text in (context + continuation, context))
        return before, whole[len(before) :]

    for context, continuation in [("the cat ", "sat"), ("the cat", " sat"), ("on \n", "the"), ("sat on the", " log")]:
        before, after = encode_pair(model, context, continuation)
        assert (before.tolist(), after.tolist()) == theirs(context, continuation)
    # The space went with the word, as it does in texts.
    assert tokenizer.decode(encode_pair(model, "the cat ", "sat")[1].tolist()) == " sat"
    # Theirs is empty where the continuation melts into the context; the token that both are in is scored here.
    before, after = (tokenizer.decode(part.tolist()) for part in encode_pair(model, "sat on th", "e"))
    assert (before, after) == ("sat on", " the") and theirs("sat on th", "e")[1] == []


@pytest.mark.parametrize(
    ("context", "continuation", "words"),
    [("the", "", "is empty"), ("the", "sat on the mat", "takes 11"), ("ñ", "a", "does not know")],
)
def test_pairs_that_cannot_be_scored_are_refused(context: str, continuation: str, words: str) -> None:
    model = made(train_tokenizer("char", TEXT))
    with pytest.raises(ConfigError, match=words):
        score(model, [context], [continuation])


def test_a_model_without_a_tokenizer_is_refused() -> None:
    model = made(train_tokenizer("char", TEXT))
    model.tokenizer = None
    with pytest.raises(ConfigError, match="no tokenizer"):
        score(model, ["a"], ["b"])


# Tasks with known answers.


def test_a_model_that_knows_the_alphabet_chooses_the_next_letter() -> None:
    items = [asked(LETTERS[i], *LETTERS[:20:5], LETTERS[i + 1], correct=4) for i in (1, 6, 11, 20)]
    results = prompt(alphabet(), task("choice", *items), [0, 2], records=True)["results"]
    assert [(entry["measure"], entry["k"]) for entry in results] == [
        ("acc", 0), ("acc_norm", 0), ("acc", 2), ("acc_norm", 2),
    ]  # fmt: skip
    assert all(entry["value"] == 1.0 and entry["floor"] == pytest.approx(0.2) for entry in results)
    assert results[0]["records"] == [1.0] * 4 and results[0]["stderr"] == 0.0
    # The same model is never right where what follows is not among the answers marked as right.
    wrong = [asked("b", "c", "x", correct=1), asked("c", "d", "x", correct=1)]
    assert prompt(alphabet(), task("choice", *wrong))["results"][0]["value"] == 0.0


def test_a_cloze_is_right_when_every_token_is() -> None:
    items = [asked("abc", "def"), asked("kl", "mn"), asked("kl", "mx"), asked("k", "lm")]
    accuracy, perplexity = prompt(alphabet(), task("cloze", *items))["results"]
    assert accuracy["value"] == 0.75 and accuracy["floor"] == 0.25
    # 20 for the right of 28 tokens, 0 for the others: log p = 20 − log(e²⁰ + 27), or 20 less.
    right = 20 - math.log(math.exp(20) + 27)
    assert perplexity["value"] == pytest.approx(math.exp(-(9 * right - 20) / 4), rel=1e-4)
    assert perplexity["lower_is_better"] and perplexity["floor"] is None


def test_generated_text_ends_at_the_stop_and_is_compared_with_the_answer() -> None:
    items = [asked("ab", "cdefg"), asked("cd", "efg"), asked("de", "fg"), asked("ab", "x")]
    exact, overlap = prompt(alphabet(), task("generation", *items, stop="h"), 1)["results"]
    assert exact["value"] == overlap["value"] == 0.75 and exact["floor"] == 0.25
    short = prompt(alphabet(), task("generation", *items, stop="", answer_tokens=3))["results"][0]
    assert short["value"] == 0.25  # "cde", "efg", "fgh", "cde"


def test_contexts_that_are_cut_are_counted() -> None:
    items = [asked("abcdefgh", "i", "x"), asked("bcdefghi", "j", "x"), asked("a", "b", "x")]
    found = prompt(alphabet(20), task("choice", *items), [0, 2])["results"]
    # Both others and the question are 9 + 1 + 2 + 1 + 8 or 9 + 1 + 9 + 1 + 1 letters, with the answer 22 tokens of 20.
    assert [(entry["k"], entry["cut"]) for entry in found if entry["measure"] == "acc"] == [(0, 0), (2, 3)]


# Measures.


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


# Examples and templates.


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


def test_more_examples_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match="k=2 needs 2 examples.*has 1"):
        prompt(alphabet(), task("cloze", asked("a", "b"), asked("b", "c")), 2)
    own = Item({"question": "a"}, ("b",), shots=("bc",))
    assert task("cloze", own).context(0, 1, 0) == "bc a"
    with pytest.raises(ConfigError, match="has 1"):
        task("cloze", own).context(0, 2, 0)


@pytest.mark.parametrize(("k", "limit"), [(-1, None), ((), None), (0, 0)])
def test_numbers_below_their_least_are_refused(k: Any, limit: int | None) -> None:
    with pytest.raises(ConfigError, match="at least|No number"):
        prompt(alphabet(), task("cloze", asked("a", "b")), k, limit=limit)


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
        ({"kind": "chioce"}, "choice"),
        ({"seperator": ""}, "separator"),
        ({"k": -1}, "at least 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_task(written(tmp_path, CHOICE, **stated))
    with pytest.raises(ConfigError, match="no items"):
        load_task(written(tmp_path, ""))
    for address in ("cipher:x", "cipher:27", "cipher:3"):
        with pytest.raises(ConfigError, match="4 to 26"):
            load_task(address)


# The command.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of one step on the embedded text."""
    settings = {"steps": 1, "batch_size": 4, "sample_every": 0, "progress": "none", "validation": 0.0}
    options = {"layers": 1, "heads": 2, "width": 8}
    out = tmp_path_factory.mktemp("prompting") / "run"
    return genloom.train("language/transformer", "play?length=17", options=options, out=out, **settings)


def test_the_command_prints_a_row_for_each_k_and_the_run_keeps_the_results(run: Any, tmp_path: Path) -> None:
    lines = [{**CHOICE, "question": letter} for letter in "abcdef"]
    words = [str(run.path), "--task", str(written(tmp_path, *lines, separator=" "))]
    done = CliRunner().invoke(command, [*words, "-k", "0", "-k", "2"], catch_exceptions=False)
    heads, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert heads == ["k", "n", "acc", "chance of acc", "acc_norm", "chance of acc_norm"]
    assert [row[:2] for row in rows] == [["0", "6"], ["2", "6"]] and all(row[3] == "0.5" for row in rows)
    kept = json.loads((run.path / "prompting.json").read_text())
    assert [entry["name"] for entry in kept] == [
        f"{measure}[letters,{k}-shot]" for k in (0, 2) for measure in ("acc", "acc_norm")
    ]
    assert kept[0]["step"] == 1 and kept[0]["n"] == 6 and kept[0]["lower_is_better"] is False
    assert len({entry["fingerprint"] for entry in kept}) == 4
    # What is measured anew replaces what was measured so; another seed is another measurement.
    again = CliRunner().invoke(command, [*words, "-k", "2", "--seed", "1", "--json"], catch_exceptions=False)
    assert [entry["k"] for entry in json.loads(again.stdout)["results"]] == [2, 2]
    CliRunner().invoke(command, [*words, "-k", "2"], catch_exceptions=False)
    assert len(json.loads((run.path / "prompting.json").read_text())) == 6


def test_the_command_says_what_is_wrong(run: Any, tmp_path: Path) -> None:
    file = str(written(tmp_path, CHOICE))
    for words, said in (
        ([str(tmp_path), "--task", file], "not a run"),
        ([str(run.path), "--task", "absent.toml"], "cannot be read"),
        ([str(run.path), "--task", file, "-k", "1"], "needs 1 examples"),
        ([str(run.path), "--task", file, "--backend", "tensorfow"], "tensorflow"),
    ):
        wrong = CliRunner().invoke(command, words)
        assert isinstance(wrong.exception, ConfigError) and said in str(wrong.exception)


def test_contexts_that_lose_their_beginning_are_told(run: Any, tmp_path: Path) -> None:
    file = str(written(tmp_path, {**CHOICE, "question": "b" * 30}, {**CHOICE, "question": "b"}))
    done = CliRunner().invoke(command, [str(run.path), "--task", file], catch_exceptions=False)
    assert "1 of 2 contexts of 0 examples were too long" in done.stderr
