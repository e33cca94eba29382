"""The prompting harness: tasks with known answers, and its command."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from keras import ops

import genloom
from genloom import DataSpec
from genloom.errors import ConfigError
from genloom_language.model import Transformer
from genloom_language.prompting import Item, Task, prompt
from genloom_language.prompting.command import prompt as command
from genloom_language.tokens import first_token, train_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Alphabet(Transformer):
    """Says the letter that follows in the alphabet, surely."""

    def logits(self, x: Any, training: bool = False, document: Any = None, position: Any = None) -> Any:
        following = (ops.cast(x, "int32") + 1) % self.spec.vocabulary
        names = ops.arange(self.spec.vocabulary, dtype="int32")
        return 20.0 * ops.cast(ops.equal(following[..., None], names), "float32")

    def init_caches(self, n: int) -> list[Any]:
        return []  # its tokens are drawn from `logits`


def alphabet(length: int = 16) -> Any:
    tokenizer = train_tokenizer("char", "\n " + LETTERS)
    vocabulary = tokenizer.get_vocab_size()
    spec = DataSpec((length,), kind="text", dtype="int32", value_range=None, vocabulary=vocabulary)
    model = Alphabet(spec, layers=1, heads=1, width=2)
    model.tokenizer, model.start = tokenizer, first_token(tokenizer)
    return model


def task(kind: str, *items: Item, **given: Any) -> Task:
    return Task("letters", kind, items, **{"template": "{question}", "answer": "{answer}", "separator": " ", **given})


def asked(question: str, *answers: str, correct: int = 0) -> Item:
    return Item({"question": question}, answers, correct)


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


def test_more_examples_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"k=2 needs 2 examples.*has 1"):
        prompt(alphabet(), task("cloze", asked("a", "b"), asked("b", "c")), 2)
    own = Item({"question": "a"}, ("b",), shots=("bc",))
    assert task("cloze", own).context(0, 1, 0) == "bc a"
    with pytest.raises(ConfigError, match="the task 'letters' has 1"):
        task("cloze", own).context(0, 2, 0)


@pytest.mark.parametrize(("k", "limit"), [(-1, None), ((), None), (0, 0)])
def test_numbers_below_their_least_are_refused(k: Any, limit: int | None) -> None:
    with pytest.raises(ConfigError, match=r"at least|No number"):
        prompt(alphabet(), task("cloze", asked("a", "b")), k, limit=limit)


CHOICE = {"question": "b", "choices": ["c", "x"], "answer": 0, "topic": "letters", "year": 7}


def written(folder: Path, *lines: Any, shots: tuple[Any, ...] = (), **stated: Any) -> Path:
    (folder / "items.jsonl").write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    stated = {"items": "items.jsonl", **stated}
    if shots:
        (folder / "shots.jsonl").write_text("\n".join(json.dumps(x) for x in shots))
        stated["shots"] = "shots.jsonl"
    file = folder / "letters.toml"
    file.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in stated.items()))
    return file


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
