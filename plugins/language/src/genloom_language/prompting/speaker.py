"""The task of the embedded play: which of three who speak most says these lines."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import resources
from pathlib import Path

from genloom.errors import ConfigError
from genloom.files.atomic import write_atomic
from genloom_language.prompting.task import Item, Task
from genloom_language.tokens import SPECIAL

__all__ = ["SPEAKERS", "lines", "open_speaker_task", "speaker_task", "write_training"]

#: Who is to be told apart.
SPEAKERS = ("CORIOLANUS", "MENENIUS", "SICINIUS")

_FOLDS = 5
_LETTERS = 100  # of a speech, its beginning
_SPEECH = re.compile(r"(?:^|\n\n)([A-Z][A-Za-z ]+):\n((?:.+\n?)+)")


def lines() -> list[tuple[str, str]]:
    """Return (speech, speaker), 192 of them, in the order of the play; long speeches are cut."""
    text = resources.files("genloom_language").joinpath("data/play.txt").read_text("utf-8")
    return [(said.strip()[:_LETTERS], who) for who, said in _SPEECH.findall(text) if who in SPEAKERS]


def open_speaker_task(address: str) -> Task:
    """Return the task of `speaker` or `speaker:FOLD`.

    Raises:
        ConfigError: no fold from 0 to 4.
    """
    fold = address.partition(":")[2] or "0"
    if fold not in map(str, range(_FOLDS)):
        raise ConfigError(f"The task speaker has the folds 0 to {_FOLDS - 1}, got {fold!r}.", mend="Write speaker:0.")
    return speaker_task(int(fold))


def speaker_task(fold: int) -> Task:
    """Return every fifth speech as a question; examples before it are drawn from the others.

    Chance is one of three; whoever always says who speaks most is right in 41 % of cases.

    Args:
        fold: 0 to 4.
    """
    asked = tuple(_item(*each) for number, each in enumerate(lines()) if number % _FOLDS == fold)
    pool = tuple(_item(*each) for number, each in enumerate(lines()) if number % _FOLDS != fold)
    return Task(
        "speaker",
        "choice",
        asked,
        SPECIAL["user"] + "{question}" + SPECIAL["assistant"],
        "{answer}",
        SPECIAL["end"],
        pool=pool,
        digest=hashlib.sha256(repr(asked).encode()).hexdigest()[:16],
    )


def write_training(fold: int, file: str | Path) -> str:
    """Write the speeches that are not asked about as prompts with completions, and return the address of the data.

    Args:
        fold: 0 to 4.
        file: where; JSON lines.
    """
    kept = [each for number, each in enumerate(lines()) if number % _FOLDS != fold]
    text = "".join(json.dumps({"prompt": s, "completion": w}) + "\n" for s, w in kept)
    write_atomic(Path(file), text.encode())
    return f"jsonl:{file}"


def _item(speech: str, speaker: str) -> Item:
    return Item({"question": speech}, SPEAKERS, SPEAKERS.index(speaker), source=f"the speech {speech[:30]!r}")
