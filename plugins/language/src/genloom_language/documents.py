"""JSON lines as a data set: documents, prompts with completions, and conversations, packed into windows.

Several documents share a window; none sees another, and only what a model should learn to say counts in the loss.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from genloom.data import Dataset
from genloom.errors import DataError
from genloom.messages import tell
from genloom_language.json_lines import objects
from genloom_language.packing import Packed, Packer, has_before, held, pack, window_type
from genloom_language.reading import FITTED, TextFiles, halves, lines
from genloom_language.stored import Stretch, keep, key_of
from genloom_language.text import beginning_note, token_dataset, token_type
from genloom_language.tokens import FILE, SPECIAL, Encoder, load_tokenizer, opening, train_tokenizer, with_special

__all__ = ["Packed", "open_jsonl", "pack", "parts_of"]

#: Text, and whether a model is to learn to say it.
Part = tuple[str, bool]

END = SPECIAL["end"]
_SPLITS = ("train", "test")  # names of the files of windows


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
    if Path(rest).is_dir():
        raise DataError(f"{rest!r} cannot be read as text: it is a folder.", mend="Name a file of JSON lines.")
    files = TextFiles.named(rest, "Name a file of JSON lines.")
    made = Making(f"jsonl:{rest}", tokenizer, vocabulary, length, max(2, round(1 / test)))
    if not files.held:
        try:
            return _large(made, files)
        except OSError as error:
            tell(f"tokens cannot be kept ({error}) and are held in memory; set GENLOOM_CACHE to another folder.")
    text = "".join(files.parts())
    fitted, _ = _fitted(made, [text])
    kind = window_type(length, np.dtype(np.int32))
    splits: tuple[dict[int, NDArray[Any]], ...] = ({}, {})
    facts = _pack_lines(made, [text], fitted, kind, [split.__setitem__ for split in splits])
    return _described(made, fitted, facts, *(held(split, kind) for split in splits))


@dataclasses.dataclass(frozen=True)
class Making:
    """What is made of JSON lines.

    Attributes:
        address: what was opened.
        tokenizer: see `JsonlOptions`.
        vocabulary: tokens of a bpe tokenizer, beside the special ones.
        length: tokens of a window.
        every: the last of so many lines is held out.
    """

    address: str
    tokenizer: str
    vocabulary: int
    length: int
    every: int

    def holds_out(self, number: int) -> bool:
        """Say whether a line is held out."""
        return number % self.every == self.every - 1


def _large(made: Making, files: TextFiles) -> Dataset:
    """Return windows in files, which are made when they are not there yet."""
    digest = files.digest()
    given = load_tokenizer(made.tokenizer).to_str() if made.tokenizer.endswith(".json") else made.tokenizer
    key = key_of("jsonl", digest, given, made.vocabulary, made.length, made.every, list(SPECIAL.values()), "opened")
    folder, facts = keep(key, lambda draft: _write(made, files, digest, draft))
    fitted = load_tokenizer(folder / FILE)
    kind = window_type(made.length, token_type(fitted))
    train, aside = (Packed(Stretch(folder / name, kind, 0, facts[name])) for name in _SPLITS)
    return _described(made, fitted, facts, train, aside)


def _write(made: Making, files: TextFiles, digest: str, folder: Path) -> dict[str, Any]:
    fitted, beginning = _fitted(made, files.parts())
    (folder / FILE).write_text(fitted.to_str(), "utf-8")
    kind = window_type(made.length, token_type(fitted))
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context((folder / name).open("wb")) for name in _SPLITS]
        facts = _pack_lines(made, files.parts(digest), fitted, kind, [_placing(file) for file in opened])
    return {**facts, "beginning": beginning}


def _placing(file: BinaryIO) -> Callable[[int, NDArray[Any]], None]:
    def write(number: int, window: NDArray[Any]) -> None:
        file.seek(number * window.dtype.itemsize)
        file.write(window.tobytes())

    return write


def _fitted(made: Making, parts: Iterable[str]) -> tuple[Any, bool]:
    """Return the tokenizer of the lines to learn from, and whether it knows only their beginning."""
    learned = (
        text
        for number, line in enumerate(_lines(made.address, parts))
        # Which characters there are is no secret of the lines that are held out.
        if made.tokenizer == "char" or not made.holds_out(number)
        for text, _ in line
    )
    if made.tokenizer != "bpe":
        return with_special(train_tokenizer(made.tokenizer, _plain(learned))), False
    first, rest = halves(_plain(learned), FITTED)
    return with_special(train_tokenizer("bpe", first, made.vocabulary)), any(rest)


def _pack_lines(
    made: Making,
    parts: Iterable[str],
    tokenizer: Any,
    kind: np.dtype[Any],
    keep_window: list[Callable[[int, NDArray[Any]], object]],
) -> dict[str, Any]:
    """Turn lines into windows, those to train on and those held out, and return facts about them.

    Raises:
        DataError: too few lines, or one that cannot be used.
    """
    encoder, end, first = Encoder(tokenizer), tokenizer.token_to_id(END), opening(tokenizer)
    train, aside = (Packer(kind, end, each, first) for each in keep_window)
    count = letters = 0
    for number, line in enumerate(_lines(made.address, parts)):
        out = made.holds_out(number)
        tokens, counts = _tokens(encoder, line)
        (aside if out else train).add(tokens, counts)
        if out:  # the characters of the tokens that are predicted, and of no others
            each = np.concatenate([encoder.letters(text) for text, _ in line])
            letters += int(each[counts & has_before(len(counts), made.length, len(first))].sum())
        count += 1
    if count < made.every:
        raise DataError(
            f"{made.address} has {count} lines; to hold out one in {made.every}, it needs {made.every} at least.",
            mend="Give more lines, or a larger test.",
        )
    train.close()
    aside.close()
    filled = train.filled / (train.windows * made.length)
    rate = max(letters, 1) / max(aside.counted, 1)
    return {"lines": count, "rate": rate, "filled": filled, "train": train.windows, "test": aside.windows}


def _described(made: Making, tokenizer: Any, facts: Mapping[str, Any], train: Packed, aside: Packed) -> Dataset:
    note = f"{facts['lines']:,} lines in {len(train) + len(aside):,} windows, {facts['filled']:.0%} filled."
    content = (piece["x"] for split in (train, aside) for piece in split.pieces())
    notes = (note, beginning_note()) if facts.get("beginning") else (note,)
    return token_dataset(made.address, tokenizer, train, aside, made.length, facts["rate"], content, *notes)


def _lines(name: str, parts: Iterable[str]) -> Iterator[list[Part]]:
    return objects(lines(parts, name), name, lambda _, line: parts_of(line))


def _plain(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts, a line's end between two, without the special tokens, which no tokenizer is to learn."""
    for number, text in enumerate(texts):
        for word in SPECIAL.values():
            text = text.replace(word, "\n")
        yield f"\n{text}" if number else text


def _tokens(encoder: Encoder, parts: list[Part]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    pieces = [encoder(text) for text, _ in parts]
    counts = [np.full(len(piece), said) for piece, (_, said) in zip(pieces, parts, strict=True)]
    return np.concatenate(pieces), np.concatenate(counts)
