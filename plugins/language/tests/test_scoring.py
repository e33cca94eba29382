"""The scores of continuations against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec
from genloom.errors import ConfigError
from genloom_language.prompting import score
from genloom_language.prompting.scoring import encode_pair
from genloom_language.tokens import encode, first_token, train_tokenizer

TEXT = "the cat sat on the mat and the dog sat on the log\n" * 20


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def made(tokenizer: Any, length: int = 12) -> Any:
    """A model with random weights that are large enough for every token to matter."""
    vocabulary = tokenizer.get_vocab_size()
    spec = DataSpec((length,), kind="text", dtype="int32", value_range=None, vocabulary=vocabulary)
    model = genloom.create("language/transformer", spec, layers=2, heads=2, width=16)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(0.4 * rng.standard_normal(variable.shape))
    model.tokenizer, model.start = tokenizer, first_token(tokenizer)
    return model


def plain(model: Any, before: np.ndarray, after: np.ndarray) -> tuple[float, bool]:
    """The sum of log softmax at the continuation's places, of one row without padding."""
    whole = np.concatenate([before, after])
    logits = array(model.logits(whole[None, :-1]))[0].astype(np.float64)[len(before) - 1 :]
    logs = (
        logits
        - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
        - logits.max(-1, keepdims=True)
    )
    return float(logs[np.arange(len(after)), after].sum()), bool((logits.argmax(-1) == after).all())


PAIRS = [("the cat", " sat"), ("the", " mat and"), ("", "cat"), ("on the", " log"), ("a", " log\nthe")]


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
