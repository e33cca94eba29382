"""Tasks from files: a TOML file that says how questions are put, and JSON lines with the questions."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genloom.errors import ConfigError, reason
from genloom.files import bounded
from genloom.options import configure, option
from genloom_language.json_lines import objects
from genloom_language.prompting.task import KINDS, Item, Task

__all__ = ["load_task", "read_item"]

_MOST_BYTES = 2**28  # of a file of a task

#: Kind → the field that a question is by default.
_QUESTIONS = {"choice": "question", "cloze": "text", "generation": "prompt"}


@dataclasses.dataclass(frozen=True)
class _Stated:
    """What a task file may say; see `Task`."""

    name: str = option("", "of the task; the file's when empty")
    kind: str = option("choice", "what is asked", choices=KINDS)
    template: str = option("", "the question; the item's own text when empty")
    answer: str = option(" {answer}", "what follows the question")
    separator: str = option("\n\n", "between examples")
    items: str = option("", "JSON lines of what is asked")
    shots: str = option("", "JSON lines that examples are drawn from; the other items when empty")
    stop: str = option("\n", "text that ends a generated answer")
    answer_tokens: int = option(32, "tokens of a generated answer, at most", minimum=1)
    k: int = option(0, "examples before a question", minimum=0)
    seed: int = option(0, "seed of the examples", minimum=0)


def load_task(address: str | Path) -> Task:
    """Read a task.

    Args:
        address: a TOML file; the files that it names lie relative to it. Or `cipher`, the built-in task of hidden
            ciphers, and `cipher:N` with N letters; or `speaker:FOLD`, who says a speech of the embedded play.

    Raises:
        ConfigError: a file that cannot be read, or a key or template that does not fit.
        DataError: a line of JSON that cannot be used; names it.
    """
    name = str(address).partition(":")[0]
    if name == "cipher":
        from genloom_language.prompting.cipher import open_cipher_task

        return open_cipher_task(str(address))
    if name == "speaker":
        from genloom_language.prompting.speaker import open_speaker_task

        return open_speaker_task(str(address))
    file = Path(address)
    content = _bytes(file)
    try:
        stated = configure(_Stated, bounded.table(content))
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{str(file)!r} is no TOML: {error}.", mend="Mend the file.") from error
    if not stated.items:
        raise ConfigError(f"{str(file)!r} names no items.", mend='Write items = "FILE.jsonl".')
    files = [file.parent / name for name in (stated.items, stated.shots) if name]
    read = [_bytes(path) for path in files]
    items, *pool = (_items(path, text, stated.kind) for path, text in zip(files, read, strict=True))
    return Task(
        name=stated.name or file.stem,
        kind=stated.kind,
        items=items,
        template=stated.template or f"{{{_QUESTIONS[stated.kind]}}}",
        answer=stated.answer,
        separator=stated.separator,
        pool=pool[0] if pool else None,
        stop=stated.stop,
        answer_tokens=stated.answer_tokens,
        digest=hashlib.sha256(b"\0".join([content, *read])).hexdigest()[:16],
        k=stated.k,
        seed=stated.seed,
    )


def read_item(line: Mapping[str, Any], kind: str, source: str = "an item") -> Item:
    """Return the item of one JSON line.

    `{"question": …, "choices": […], "answer": INDEX}` for "choice"; `{"text": …, "answer": …}` for "cloze";
    `{"prompt": …, "answer": …}` for "generation". Other texts and numbers may be used in templates too; `"shots"`,
    a list of texts, are examples of the item's own.

    Raises:
        ValueError: another form.
    """
    fields = {
        name: str(value)
        for name, value in line.items()
        if name != "answer" and isinstance(value, (str, int, float)) and not isinstance(value, bool)
    }
    shots = line.get("shots")
    if shots is not None and not _texts(shots):
        raise ValueError('"shots" is a list of texts')
    answers, correct = _answers(line, kind)
    return Item(fields, answers, correct, None if shots is None else tuple(shots), source)


def _answers(line: Mapping[str, Any], kind: str) -> tuple[tuple[str, ...], int]:
    answer = line.get("answer")
    if kind != "choice":
        if not isinstance(answer, str) or not answer:
            raise ValueError('"answer" is a text')
        return (answer,), 0
    choices = line.get("choices")
    if not _texts(choices) or len(choices) < 2 or not all(choices):  # type: ignore[arg-type]
        raise ValueError('"choices" is a list of two texts or more, none of them empty')
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(choices):  # type: ignore[arg-type]
        raise ValueError(f'"answer" is the number of a choice, 0 to {len(choices) - 1}, not {answer!r}')  # type: ignore[arg-type]
    return tuple(choices), answer  # type: ignore[arg-type]


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _items(file: Path, content: bytes, kind: str) -> tuple[Item, ...]:
    def read(number: int, line: dict[str, Any]) -> Item:
        return read_item(line, kind, f"line {number} of {str(file)!r}")

    return tuple(objects(content.splitlines(), str(file), read))


def _bytes(file: Path) -> bytes:
    try:
        return bounded.content(file, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{str(file)!r} cannot be read: {reason(error)}.", mend="Name a file of the task.") from error
