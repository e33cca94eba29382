"""A task: items, how they are written as text, and where the examples before a question come from."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Mapping

import numpy as np

from genloom.errors import ConfigError, nearest

__all__ = ["KINDS", "Item", "Task", "fill"]

#: "choice": the likeliest of some answers; "cloze": the answer must be the greedy continuation (LAMBADA, Paperno et al.
#: 2016); "generation": greedy text is compared with the answer.
KINDS = ("choice", "cloze", "generation")


@dataclasses.dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        fields: what the templates may use, by name.
        answers: the texts to choose from; of cloze and generation only the right one.
        correct: index of the right answer.
        shots: examples of its own as whole texts, where every item has a rule of its own; None takes the task's.
        source: the line it stands in, for errors.
    """

    fields: Mapping[str, str]
    answers: tuple[str, ...]
    correct: int = 0
    shots: tuple[str, ...] | None = None
    source: str = "an item"

    @property
    def answer(self) -> str:
        """The right answer."""
        return self.answers[self.correct]


@dataclasses.dataclass(frozen=True)
class Task:
    r"""Questions of one kind, and how they are put.

    Attributes:
        name: of the task, in results.
        kind: one of `KINDS`.
        items: what is asked.
        template: the question; `{field}` is replaced by a field of the item, `{{` and `}}` are braces.
        answer: what follows a question; `{answer}` is the answer.
        separator: between examples, and between them and the question.
        pool: items that examples are drawn from; None draws from the other items.
        stop: an answer of a generation ends where this begins; "" for nowhere.
        answer_tokens: tokens of an answer of a generation, at most.
        digest: hexadecimal hash of what the task says, for fingerprints.
        k: examples before a question, when the caller does not say.
        seed: of the examples, when the caller does not say.

    Raises:
        ConfigError: no items, another kind, or a template that asks for a field an item does not have; names its line.
    """

    name: str
    kind: str
    items: tuple[Item, ...]
    template: str
    answer: str = " {answer}"
    separator: str = "\n\n"
    pool: tuple[Item, ...] | None = None
    stop: str = "\n"
    answer_tokens: int = 32
    digest: str = ""
    k: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(
                f"There is no kind of task {self.kind!r}.{nearest(self.kind, KINDS)}", mend=f"Use {', '.join(KINDS)}."
            )
        if not self.items:
            raise ConfigError(f"The task {self.name!r} has no items.", mend="Give one line of JSON or more.")
        for item in (*self.items, *(self.pool or ())):
            self.example(item)

    def question(self, item: Item) -> str:
        """Return the text of a question."""
        return fill(self.template, item.fields, item.source)

    def answered(self, item: Item, answer: str) -> str:
        """Return the text of an answer, as it follows the question."""
        return fill(self.answer, {**item.fields, "answer": answer}, item.source)

    def example(self, item: Item) -> str:
        """Return a question with its right answer."""
        return self.question(item) + self.answered(item, item.answer)

    def context(self, index: int, k: int, seed: int) -> str:
        """Return what stands before the answer of item `index`: k examples and the question.

        Args:
            index: of the item.
            k: number of examples; those of a smaller k are the first of a larger one.
            seed: draws the examples; each item has its own.

        Raises:
            ConfigError: fewer than k examples that are not the item itself.
        """
        return self.separator.join([*self._shots(index, k, seed), self.question(self.items[index])])

    def _shots(self, index: int, k: int, seed: int) -> list[str]:
        item = self.items[index]
        if item.shots is not None:
            return list(item.shots[: self._enough(k, len(item.shots), item)])
        source = self.items if self.pool is None else self.pool
        order = np.random.default_rng((seed, index)).permutation(len(source)) if k else ()
        # By content: an item that is written twice would else be told its answer.
        others = [source[place] for place in order if not _same(source[place], item)]
        return [self.example(other) for other in others[: self._enough(k, len(others), item)]]

    def _enough(self, k: int, found: int, item: Item) -> int:
        if k > found:
            raise ConfigError(
                f"k={k} needs {k} examples beside {item.source}; the task {self.name!r} has {found}.",
                mend="Ask for fewer, or give more in the task's file of shots.",
            )
        return k


def fill(template: str, fields: Mapping[str, str], source: str) -> str:
    """Return a template with every `{field}` replaced.

    Args:
        template: text with fields; nothing but their names may stand between the braces.
        fields: their values.
        source: whose fields they are, for errors.

    Raises:
        ConfigError: a field that is not there, or braces that do not match.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"The template {template!r} cannot be read: {error}.", mend="Write {{ for a brace.") from None
    text = ""
    for before, name, form, conversion in parts:
        text += before
        if name is None:
            continue
        if name not in fields or form or conversion:
            asked = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise ConfigError(
                f"The template {template!r} asks for {{{asked}}}, which {source} does not have."
                f"{nearest(asked, fields)}",
                mend=f"Its fields: {', '.join(fields)}.",
            )
        text += fields[name]
    return text


def _same(one: Item, other: Item) -> bool:
    return one.fields == other.fields and one.answers == other.answers
