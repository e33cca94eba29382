"""Text files as a stream, a part at a time, so that a text may be larger than memory."""

from __future__ import annotations

import codecs
import dataclasses
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from genloom.errors import DataError, reason

__all__ = ["FITTED", "HELD_BYTES", "TextFiles", "halves", "lines"]

#: Texts up to this size are held in memory, larger ones are read a part at a time.
HELD_BYTES = 4 << 20

#: Characters that a bpe tokenizer is fitted on, at most: by far more than its merges need.
FITTED = 64 << 20

#: Bytes of a text, at most: more than hours of reading, or a file with a hole.
MOST_BYTES = 16 << 30

#: Characters of a line, at most.
LONGEST = 16 << 20

_BYTES = 1 << 20  # read at once


@dataclasses.dataclass(frozen=True)
class TextFiles:
    """One text in one or more files of UTF-8, a line's end between two of them.

    Attributes:
        files: in order.
    """

    files: tuple[Path, ...]

    @classmethod
    def named(cls, path: str, mend: str) -> TextFiles:
        """Return a file, or the files *.txt of a folder in the order of their names.

        Raises:
            DataError: there is nothing to be read, or more than `MOST_BYTES`.
        """
        named = Path(path)
        files = tuple(sorted(named.glob("*.txt"))) if named.is_dir() else (named,)
        if not files:
            raise DataError(f"The folder {path!r} has no files *.txt.", mend="Name a file, or a folder of them.")
        for file in files:
            if file.exists() and not file.is_file():
                raise DataError(f"{str(file)!r} cannot be read as text: it is not a plain file.", mend=mend)
            try:
                file.open("rb").close()
            except OSError as error:
                raise DataError(f"{str(file)!r} cannot be read as text: {reason(error)}.", mend=mend) from error
        size = sum(file.stat().st_size for file in files)
        if size > MOST_BYTES:
            raise DataError(
                f"{path!r} has {size:,} bytes of text, where {MOST_BYTES:,} are the most.", mend="Cut it up."
            )
        return cls(files)

    @property
    def held(self) -> bool:
        """Whether the text is small enough for memory."""
        return sum(file.stat().st_size for file in self.files) <= HELD_BYTES

    def digest(self) -> str:
        """Return the SHA-256 of the files' content, in 64 hexadecimal digits."""
        return _joined(_digest(_read(file)) for file in self.files)

    def parts(self, expected: str | None = None) -> Iterator[str]:
        """Yield the text in parts, each end of a line as one line feed.

        Args:
            expected: the digest that the content must have.

        Raises:
            DataError: a file that is not UTF-8, named with the place of its first wrong byte; or other content.
        """
        digests = []
        for number, file in enumerate(self.files):
            if number:
                yield "\n"
            digest = hashlib.sha256()
            yield from _decoded(file, digest.update)
            digests.append(digest.digest())
        if expected not in (None, _joined(digests)):
            raise DataError(f"{str(self.files[0])!r} has changed while it was read.", mend="Open it again.")


def halves(parts: Iterable[str], cut: int) -> tuple[Iterator[str], Iterator[str]]:
    """Return the first `cut` characters of a text and the rest; the first half is to be read first."""
    source, rest = iter(parts), [""]

    def first() -> Iterator[str]:
        left = cut
        while left > 0 and (part := next(source, None)) is not None:
            yield part[:left]
            rest[0] = part[left:]
            left -= len(part)

    def second() -> Iterator[str]:
        yield rest[0]
        yield from source

    return first(), second()


def lines(parts: Iterable[str], name: str) -> Iterator[str]:
    """Yield the lines of a text, without their ends.

    Args:
        parts: of the text.
        name: of the text in errors.

    Raises:
        DataError: one is longer than `LONGEST`.
    """
    begun: list[str] = []
    number = 1
    for part in parts:
        first, *rest = part.split("\n")
        begun.append(first)
        if sum(map(len, begun)) > LONGEST:
            raise DataError(f"Line {number} of {name!r} has more than {LONGEST:,} characters.", mend="Cut it up.")
        if rest:
            yield "".join(begun)
            yield from rest[:-1]
            begun, number = rest[-1:], number + len(rest)
    if last := "".join(begun):
        yield last


def _decoded(file: Path, see: Callable[[bytes], object]) -> Iterator[str]:
    decoder, newlines = codecs.getincrementaldecoder("utf-8")(), io.IncrementalNewlineDecoder(None, translate=True)
    place = 0
    for data in _read(file):
        see(data)
        waiting = len(decoder.getstate()[0])  # bytes of a character that the last part began
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            wrong = place - waiting + error.start
            raise DataError(
                f"{str(file)!r} cannot be read as text: byte {wrong}, 0x{error.object[error.start]:02x}, is no UTF-8.",
                mend="Name a file of UTF-8 text.",
            ) from error
        yield newlines.decode(text, final=not data)
        place += len(data)


def _read(file: Path) -> Iterator[bytes]:
    """Yield a file in parts, the last one empty."""
    data = b"begin"
    try:
        with file.open("rb") as opened:
            while data:
                data = opened.read(_BYTES)
                yield data
    except OSError as error:
        raise DataError(
            f"{str(file)!r} cannot be read as text: {reason(error)}.", mend="Name a file of UTF-8 text."
        ) from error


def _digest(parts: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def _joined(digests: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()
