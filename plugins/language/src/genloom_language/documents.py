"""JSON lines as a data set: documents, prompts with completions, and conversations, packed into windows.

Several documents share a window; none sees another, and only what a model should learn to say counts in the loss.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.data import Dataset
from genloom.errors import DataError
from genloom_language.text import token_dataset
from genloom_language.tokens import SPECIAL, encode, train_tokenizer, with_special

__all__ = ["Packed", "open_jsonl", "pack", "parts_of"]

#: Text, and whether a model is to learn to say it.
Part = tuple[str, bool]

END = SPECIAL["end"]
_OPEN = 32  # windows that the next document may still go into


def parts_of(line: Mapping[str, Any]) -> list[Part]:
    """Return the parts of one JSON line.

    `{"text": …}` counts as a whole; of `{"prompt": …, "completion": …}` and of `{"instruction": …, "input": …,
    "output": …}` only the second half; of `{"messages": [{"role": …, "content": …}]}` what the assistant says.

    Raises:
        ValueError: another form, or text that holds a special token, and so could speak for another.
    """
    written = json.dumps(line, ensure_ascii=False)
    for word in SPECIAL.values():
        if word in written:
            raise ValueError(f"it holds the special token {word}")
    if isinstance(line.get("text"), str):
        return [(line["text"], True), (END, True)]
    if isinstance(line.get("messages"), list):
        return [part for message in line["messages"] for part in _message(message)]
    pairs = {"prompt": "completion", "instruction": "output"}
    for asked, answered in pairs.items():
        if isinstance(line.get(asked), str) and isinstance(line.get(answered), str):
            given = line[asked] + (f"\n{line['input']}" if asked == "instruction" and line.get("input") else "")
            return [(SPECIAL["user"] + given + SPECIAL["assistant"], False), (line[answered], True), (END, True)]
    raise ValueError('no "text", "prompt" with "completion", "instruction" with "output", or "messages"')


def _message(message: Any) -> list[Part]:
    role, content = message.get("role"), message.get("content")
    if role not in ("system", "user", "assistant") or not isinstance(content, str):
        raise ValueError('a message is {"role": "system", "user" or "assistant", "content": TEXT}')
    said = role == "assistant"
    return [(SPECIAL[role], False), (content, said), (END, said)]


@dataclasses.dataclass(frozen=True)
class Packed:
    """A split of packed windows.

    Attributes:
        x: tokens int32 (n, length), filled up with the token of an end.
        document: int32 (n, length), the number of the document in its window, -1 where there is none.
        place: int32 (n, length), the place within the document.
        weight: float32 (n, length), 1 where a token is to be predicted; never a document's first.
    """

    x: NDArray[np.int32]
    document: NDArray[np.int32]
    place: NDArray[np.int32]
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return {"x", "document", "place", "weight"}, each (n, length)."""
        rows = np.asarray(indices, np.intp)
        return {field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)}

    def arrays(self, limit: int | None = None) -> dict[str, NDArray[Any]]:
        """Return the first `limit` windows (None: all)."""
        return self.take(np.arange(len(self))[:limit])


def pack(documents: list[tuple[NDArray[np.int32], NDArray[np.bool_]]], length: int, end: int) -> Packed:
    """Put documents into windows, each into the first that has room; longer ones than a window are cut.

    Args:
        documents: (tokens, which of them count) of each.
        length: tokens of a window.
        end: token that fills a window up.
    """
    windows: list[list[tuple[NDArray[np.int32], NDArray[np.bool_]]]] = []
    room: dict[int, int] = {}
    for tokens, counts in documents:
        for start in range(0, len(tokens), length):
            piece = tokens[start : start + length], counts[start : start + length]
            place = next((w for w, left in room.items() if left >= len(piece[0])), None)
            if place is None:
                place = len(windows)
                windows.append([])
                room[place] = length
                if len(room) > _OPEN:
                    del room[min(room, key=lambda w: room[w])]
            windows[place].append(piece)
            room[place] -= len(piece[0])
    made = Packed(
        np.full((len(windows), length), end, np.int32),
        np.full((len(windows), length), -1, np.int32),
        np.zeros((len(windows), length), np.int32),
        np.zeros((len(windows), length), np.float32),
    )
    for row, pieces in enumerate(windows):
        begin = 0
        for number, (tokens, counts) in enumerate(pieces):
            here = slice(begin, begin + len(tokens))
            made.x[row, here], made.document[row, here] = tokens, number
            made.place[row, here] = np.arange(len(tokens))
            made.weight[row, here] = counts
            made.weight[row, begin] = 0  # nothing stands before it
            begin += len(tokens)
    return made


def open_jsonl(rest: str, *, tokenizer: str, vocabulary: int, length: int, test: float) -> Dataset:
    """Open a file of JSON lines.

    Args:
        rest: its path.
        tokenizer: see `JsonlOptions`.
        vocabulary: tokens of a bpe tokenizer, beside the special ones.
        length: tokens of a window.
        test: share of the lines held out, evenly.

    Raises:
        DataError: no such file, or a line that cannot be used; names it.
    """
    if not rest:
        raise DataError("jsonl: names no file.", mend="Write jsonl:FILE.")
    lines = list(_lines(rest))
    every = max(2, round(1 / test))
    if len(lines) < every:
        raise DataError(
            f"{rest!r} has {len(lines)} lines; test={test} needs {every} at least.", mend="Give more lines."
        )
    held_out = [number % every == every - 1 for number in range(len(lines))]
    learned = [
        text for parts, out in zip(lines, held_out, strict=True) if not out or tokenizer == "char" for text, _ in parts
    ]
    fitted = with_special(train_tokenizer(tokenizer, _plain(learned), vocabulary))
    cut = [_tokens(fitted, parts) for parts in lines]
    end = fitted.token_to_id(END)
    train, aside = (
        pack([document for document, out in zip(cut, held_out, strict=True) if out is wanted], length, end)
        for wanted in (False, True)
    )
    letters = sum(len(text) for parts, out in zip(lines, held_out, strict=True) if out for text, said in parts if said)
    rate = max(letters, 1) / max(float(aside.weight.sum()), 1.0)
    filled = float((train.document >= 0).mean())
    note = f"{len(lines):,} lines in {len(train) + len(aside):,} windows, {filled:.0%} filled."
    return token_dataset(f"jsonl:{rest}", fitted, train, aside, length, rate, (train.x, aside.x), note)


def _lines(file: str) -> Iterator[list[Part]]:
    try:
        text = Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file!r} cannot be read as text: {error}.", mend="Name a file of JSON lines.") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            parsed = json.loads(line)
            if not isinstance(parsed, dict):
                raise ValueError("no object")
            yield parts_of(parsed)
        except (ValueError, AttributeError) as error:
            raise DataError(f"Line {number} of {file!r} cannot be used: {error}.", mend="Mend or remove it.") from error


def _plain(texts: list[str]) -> str:
    """Return the texts without the special tokens, which no tokenizer is to learn."""
    whole = "\n".join(texts)
    for word in SPECIAL.values():
        whole = whole.replace(word, "\n")
    return whole


def _tokens(tokenizer: Any, parts: list[Part]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    pieces = [encode(tokenizer, text) for text, _ in parts]
    counts = [np.full(len(piece), said) for piece, (_, said) in zip(pieces, parts, strict=True)]
    return np.concatenate(pieces), np.concatenate(counts)
