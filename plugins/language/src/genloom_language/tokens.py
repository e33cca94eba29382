"""Tokenizers: characters, bytes, and byte-level byte-pair encoding, all in the one format of the library `tokenizers`.

One JSON file says everything, so that a run keeps its tokenizer and other programs can read it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import ConfigError, DataError, RunError, nearest
from genloom.files import bounded

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "FILE",
    "SPECIAL",
    "Encoder",
    "characters_of",
    "decode_after",
    "encode",
    "first_token",
    "load_tokenizer",
    "opening",
    "room",
    "shortened",
    "tokenizer_of",
    "train_tokenizer",
    "with_special",
]

#: Name of the tokenizer's file in a run.
FILE = "tokenizer.json"

#: Tokens that no text holds: the end of a document, and who speaks.
SPECIAL = {"end": "<|end|>", "system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}

_KINDS = ("char", "byte", "bpe")
_CHUNK = 1 << 18  # characters that are encoded as one
_AT_ONCE = 4  # so many chunks at the same time
_MOST_BYTES = 1 << 28  # of a tokenizer's file: many times the largest
_WORD = 1 << 10  # letters of a word that is fitted on whole
# What byte pairs never cross: letters, digits, signs or white space, each begun where it begins.
_ALIKE = (r"[^\W\d_]", r"\d", r"\s", r"[^\w\s]", "_")
_LONG_WORD = re.compile("|".join(f"(?<!{each}){each}{{{_WORD + 1},}}+" for each in _ALIKE))


def train_tokenizer(kind: str, text: str | Iterable[str], vocabulary: int = 1024) -> Tokenizer:
    """Return the tokenizer of a training text.

    Args:
        kind: "char", every character that occurs; "byte", the 256 bytes of UTF-8; "bpe", bytes and what they are most
            often together (Sennrich et al. 2016; on bytes, Radford et al. 2019); or the file of one that is there.
        text: what it is fitted on, whole or in parts.
        vocabulary: tokens of "bpe".

    Raises:
        DataError: too little text for so many tokens.
        ConfigError: another kind, or a file that holds no tokenizer.
    """
    if kind.endswith(".json"):
        return load_tokenizer(kind)
    if kind not in _KINDS:
        raise ConfigError(
            f"There is no tokenizer {kind!r}.{nearest(kind, _KINDS)}",
            mend=f"Use {', '.join(_KINDS)}, or a tokenizer.json.",
        )
    parts = [text] if isinstance(text, str) else text
    if kind == "char":
        return _characters(parts)
    return _byte_pairs(parts, vocabulary) if kind == "bpe" else _byte_pairs([], 256)


def encode(tokenizer: Tokenizer, text: str) -> NDArray[np.int32]:
    """Return the tokens of a text, int32 (tokens,).

    Raises:
        DataError: a character that the tokenizer does not know; names it and its place.
    """
    return Encoder(tokenizer)(text)


class Encoder:
    """What turns texts into tokens, for many texts by one tokenizer.

    Args:
        tokenizer: which must not be changed afterwards.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known = None if _knows_every_text(tokenizer) else tokenizer.get_vocab()
        self._letters = _letter_tokens(tokenizer)
        added = tokenizer.get_added_tokens_decoder()
        self._added = [token.content for token in added.values()]
        self._special = [number for number, token in added.items() if token.special]

    def __call__(self, text: str) -> NDArray[np.int32]:
        """Return the tokens of a text, int32 (tokens,); raises as `encode`."""
        parts = list(self.parts([text]))
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def letters(self, text: str) -> NDArray[np.int32]:
        """Return how many characters of a text begin in each of its tokens, int32 (tokens,); a special token is one.

        The end of a text is one thing to be predicted, whatever its name.
        """
        parts = [self._letters_of(part) for part in _chunks([text])]
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def _letters_of(self, part: str) -> NDArray[np.int32]:
        if self._by_letter(part):
            return np.ones(len(part), np.int32)
        encoded = self._tokenizer.encode(part, add_special_tokens=False)
        # Where each ends, or an earlier one did: the bytes of one character all end with it.
        ends = np.maximum.accumulate([end for _, end in encoded.offsets] or [0])
        ends[-1] = len(part)
        letters = np.diff(ends, prepend=0)[: len(encoded.ids)].astype(np.int32)
        return np.where(np.isin(encoded.ids, self._special), 1, letters)

    def parts(self, texts: Iterable[str]) -> Iterator[NDArray[np.int32]]:
        """Yield the tokens of one text that comes in parts, as if it came whole; raises as `encode`."""
        place, chunks = 0, _chunks(texts)
        while group := list(itertools.islice(chunks, _AT_ONCE)):
            for part in group:
                if self._known is not None:
                    _check_known(part, self._known, place)
                place += len(part)
            yield from self._tokens(group)

    def _by_letter(self, part: str) -> bool:
        return self._letters is not None and not any(word in part for word in self._added)

    def _tokens(self, group: list[str]) -> Iterator[NDArray[np.int32]]:
        if self._letters is not None and all(map(self._by_letter, group)):
            return (self._letters[np.frombuffer(part.encode("utf-32-le"), "<u4")] for part in group)
        encoded = self._tokenizer.encode_batch_fast(group, add_special_tokens=False)
        return (np.asarray(each.ids, np.int32) for each in encoded)


def decode_after(tokenizer: Tokenizer, tokens: list[int], given: int) -> str:
    """Return what the tokens after the first `given` say behind those, special ones by their names.

    Of a text's first token many tokenizers leave out the space, so that it must not be read alone.
    """
    before = tokenizer.decode(tokens[:given], skip_special_tokens=False)
    return str(tokenizer.decode(tokens, skip_special_tokens=False))[len(before) :]


def characters_of(tokenizer: Tokenizer, characters: int, tokens: Iterable[NDArray[Any]]) -> int:
    """Return how many characters a text has if a special token is one, whatever its name.

    Args:
        tokenizer: which made the tokens.
        characters: of the text with the special tokens by their names.
        tokens: of all of the text, in pieces.
    """
    special = {n: token.content for n, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    if not special:
        return characters
    size = max(special) + 1
    counts = np.sum([np.bincount(piece, minlength=size)[:size] for piece in tokens], axis=0)
    return characters - sum(int(counts[number]) * (len(name) - 1) for number, name in special.items())


def opening(tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that a tokenizer puts before a text by itself, as those of Llama do; most have none."""
    if not tokenizer.num_special_tokens_to_add(False):
        return []
    whole = tokenizer.encode(next(word for number in itertools.count() if (word := tokenizer.id_to_token(number))))
    added = itertools.takewhile(lambda pair: pair[1], zip(whole.ids, whole.special_tokens_mask, strict=True))
    return [number for number, _ in added]


def room(length: int, first: int) -> int:
    """Return how many tokens of a text a window has room for, behind what its tokenizer puts before every text.

    Args:
        length: tokens of the window.
        first: how many those are.

    Raises:
        ConfigError: fewer than one.
    """
    if length <= first:
        raise ConfigError(
            f"length={length} leaves no room behind the {first} tokens that the tokenizer puts before a text.",
            mend="Give a larger length.",
        )
    return length - first


def shortened(tokens: NDArray[np.int32], most: int, first: int) -> NDArray[np.int32]:
    """Return `most` tokens of a text: the `first` ones, which stand before every text, and the last; all that fit."""
    return np.concatenate([tokens[:first], tokens[first:][-(most - first) :]]) if len(tokens) > most else tokens


def first_token(tokenizer: Tokenizer) -> int:
    """Return the token by which a text without a beginning begins: its opening, or a line's end; 0 without either."""
    known = _knows_every_text(tokenizer) or "\n" in tokenizer.get_vocab()
    first = opening(tokenizer) or (tokenizer.encode("\n", add_special_tokens=False).ids if known else [0])
    return int(first[0])


def load_tokenizer(file: str | Path) -> Tokenizer:
    """Read a tokenizer's JSON file; what it says of shortening and filling up is left out.

    Raises:
        ConfigError: it is absent or no tokenizer.
    """
    from tokenizers import Tokenizer

    if not Path(file).is_file():
        raise ConfigError(f"There is no tokenizer at {str(file)!r}.", mend="Name a tokenizer.json.")
    try:
        tokenizer = Tokenizer.from_str(bounded.content(Path(file), _MOST_BYTES).decode("utf-8"))
    except Exception as error:  # what the library raises is the plain Exception
        raise ConfigError(f"{str(file)!r} cannot be read as a tokenizer: {error}.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenizer_of(run: Any) -> Tokenizer:
    """Read the tokenizer that a run keeps.

    Raises:
        ConfigError: it keeps none.
        RunError: it is damaged.
    """
    file = Path(run.path) / FILE
    if not file.is_file():
        raise ConfigError(f"{str(run.path)!r} has no {FILE}.", mend="Name one: tokenizer=FILE.")
    try:
        return load_tokenizer(file)
    except ConfigError as error:
        raise RunError(error.message, mend="Restore it from a copy, or train the run again.") from error


def _characters(parts: Iterable[str]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models

    letters = {letter: number for number, letter in enumerate(sorted(set().union(*parts)))}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token=""))
    tokenizer.pre_tokenizer = _between_letters()
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _between_letters() -> Any:
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Split(Regex("(?m)."), "isolated")


def _letter_tokens(tokenizer: Tokenizer) -> NDArray[np.int32] | None:
    """Return the tokens of a tokenizer of characters by code point, None for another kind: a hundred times faster."""
    if tokenizer.normalizer is not None or repr(tokenizer.pre_tokenizer) != repr(_between_letters()):
        return None
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    if type(tokenizer.model).__name__ != "WordLevel" or not all(len(word) == 1 for word in vocabulary):
        return None
    tokens = np.zeros(max(map(ord, vocabulary), default=0) + 1, np.int32)
    for letter, token in vocabulary.items():
        tokens[ord(letter)] = token
    return tokens


def _byte_pairs(parts: Iterable[str], vocabulary: int) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((piece for chunk in _chunks(parts) for piece in _short_words(chunk)), trainer)
    if tokenizer.get_vocab_size() < vocabulary:
        raise DataError(
            f"The text gives {tokenizer.get_vocab_size()} tokens, not {vocabulary}.",
            mend="Give more text, or a smaller vocabulary.",
        )
    return tokenizer


def _short_words(text: str) -> Iterator[str]:
    """Yield a text cut within its endless words: the trainer's time grows with the square of a word's length."""
    begin = 0
    for word in _LONG_WORD.finditer(text):
        for end in range(word.start() + _WORD, word.end() + 1, _WORD):
            yield text[begin:end]
            begin = end
    yield text[begin:]


def _knows_every_text(tokenizer: Tokenizer) -> bool:
    return "ByteLevel" in repr(tokenizer.pre_tokenizer) or bool(getattr(tokenizer.model, "byte_fallback", False))


def with_special(tokenizer: Tokenizer) -> Tokenizer:
    """Add the special tokens that a tokenizer does not have yet, and return it."""
    tokenizer.add_special_tokens(list(SPECIAL.values()))
    return tokenizer


def _check_known(text: str, vocabulary: dict[str, int], begin: int) -> None:
    for word in SPECIAL.values():
        text = text.replace(word, "") if word in vocabulary else text
    unknown = set(text) - vocabulary.keys()
    if unknown:
        place = next(place for place, letter in enumerate(text) if letter in unknown)
        raise DataError(
            f"The tokenizer does not know {text[place]!r} (character {begin + place} of the text).",
            mend="Leave it out, or use tokenizer=byte or bpe, which know every text.",
        )


def _chunks(parts: Iterable[str]) -> Iterator[str]:
    """Yield a text in parts that end with a line where one ends: the library's memory is a multiple of what it gets.

    How the text comes does not matter: the same text is cut at the same places.
    """
    held = ""
    for part in parts:
        held, start = held + part, 0
        while start + _CHUNK < len(held):
            end = held.rfind("\n", start, start + _CHUNK) + 1
            end = end if end > start else start + _CHUNK
            yield held[start:end]
            start = end
        held = held[start:]
    if held:
        yield held
