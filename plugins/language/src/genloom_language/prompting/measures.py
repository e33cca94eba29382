"""What is measured of the answers, and what an answer by chance would score."""

from __future__ import annotations

import collections
import dataclasses
import math
import re
import string
from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom_language.prompting.task import Item

__all__ = ["Measure", "choice_measures", "cloze_measures", "exact_match", "generation_measures", "token_f1"]

T = TypeVar("T", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class Measure:
    """One measure over n items.

    Attributes:
        name: `acc`, `acc_norm`, `perplexity`, `exact_match` or `f1`.
        value: over all items.
        stderr: standard error of the value, None for a single item.
        floor: what chance scores; None where chance has no score.
        each: float (n,), the items' own values.
        lower_is_better: direction.
    """

    name: str
    value: float
    stderr: float | None
    floor: float | None
    each: NDArray[np.float64]
    lower_is_better: bool = False


def choice_measures(items: Sequence[Item], log_likelihoods: Sequence[ArrayLike]) -> list[Measure]:
    """Return `acc`, whether the right answer is the likeliest, and `acc_norm`, the same per character of the answer.

    Args:
        items: n questions.
        log_likelihoods: one array (answers,) of nats for each.

    The floor is the mean of 1 / answers.
    """
    floor = float(np.mean([1 / len(item.answers) for item in items]))
    plain, per_character = [], []
    for item, given in zip(items, log_likelihoods, strict=True):
        nats = np.asarray(given, np.float64)
        plain.append(int(nats.argmax()) == item.correct)
        lengths = np.array([len(answer) for answer in item.answers])
        per_character.append(int((nats / lengths).argmax()) == item.correct)
    return [_mean("acc", plain, floor), _mean("acc_norm", per_character, floor)]


def cloze_measures(items: Sequence[Item], log_likelihoods: ArrayLike, greedy: ArrayLike) -> list[Measure]:
    """Return `acc`, whether the answer is the greedy continuation, and `perplexity`, exp of the mean nats of an answer.

    Args:
        items: n texts.
        log_likelihoods: (n,) nats of the answers, each as a whole.
        greedy: bool (n,).

    The floor of `acc` is the share of the most frequent answer.
    """
    nats = -np.asarray(log_likelihoods, np.float64)
    mean = float(nats.mean())
    perplexity = math.exp(mean) if mean < 700 else math.inf
    error = _error(nats)
    spread = None if error is None else perplexity * error  # the delta method
    return [
        _mean("acc", greedy, _most_frequent([item.answer for item in items])[1]),
        Measure("perplexity", perplexity, spread, None, nats, lower_is_better=True),
    ]


def generation_measures(items: Sequence[Item], texts: Sequence[str]) -> list[Measure]:
    """Return `exact_match` and `f1` of generated texts.

    Args:
        items: n prompts.
        texts: n answers.

    The floors are what the most frequent answer scores when it is always given.
    """
    usual, share = _most_frequent([_words(item.answer) for item in items])
    matches = [exact_match(text, item.answer) for text, item in zip(texts, items, strict=True)]
    overlaps = [token_f1(text, item.answer) for text, item in zip(texts, items, strict=True)]
    floor = float(np.mean([token_f1(" ".join(usual), item.answer) for item in items]))
    return [_mean("exact_match", matches, share), _mean("f1", overlaps, floor)]


def exact_match(text: str, answer: str) -> bool:
    """Return whether two texts are equal but for case, punctuation, articles and spaces (Rajpurkar et al. 2016)."""
    return _words(text) == _words(answer)


def token_f1(text: str, answer: str) -> float:
    """Return the harmonic mean of precision and recall of the words, normalised as for `exact_match`."""
    given, right = _words(text), _words(answer)
    if not given or not right:
        return float(given == right)
    shared = (collections.Counter(given) & collections.Counter(right)).total()
    return 2 * shared / (len(given) + len(right))


def _words(text: str) -> tuple[str, ...]:
    lowered = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return tuple(re.sub(r"\b(a|an|the)\b", " ", lowered).split())


def _most_frequent(answers: Sequence[T]) -> tuple[T, float]:
    answer, count = collections.Counter(answers).most_common(1)[0]
    return answer, count / len(answers)


def _mean(name: str, values: ArrayLike, floor: float) -> Measure:
    each = np.asarray(values, np.float64)
    return Measure(name, float(each.mean()), _error(each), floor, each)


def _error(each: NDArray[np.float64]) -> float | None:
    """Return the standard error of a mean; of values 0 and 1 it is the binomial √(p (1 − p) / (n − 1))."""
    return None if len(each) < 2 else float(each.std(ddof=1) / math.sqrt(len(each)))
