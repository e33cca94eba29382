"""The task of the embedded play: folds part the speeches, and training never holds what is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import genloom
from genloom.errors import ConfigError
from genloom_language.prompting import load_task
from genloom_language.prompting.speaker import SPEAKERS, lines, speaker_task, write_training

pytestmark = pytest.mark.any_engine


def test_folds_part_the_speeches_and_training_holds_none_that_is_asked(tmp_path: Path) -> None:
    speeches = lines()
    assert len(speeches) == 192
    assert {who for _, who in speeches} == set(SPEAKERS)
    asked = [item.fields["question"] for fold in range(5) for item in speaker_task(fold).items]
    assert sorted(asked) == sorted(speech for speech, _ in speeches)
    address = write_training(2, tmp_path / "fold.jsonl")
    written = [json.loads(line)["prompt"] for line in (tmp_path / "fold.jsonl").read_text().splitlines()]
    own = [item.fields["question"] for item in speaker_task(2).items]
    assert len(written) + len(own) == 192
    repeated = [speech for speech, _ in speeches if sum(speech == other for other, _ in speeches) > 1]
    assert set(written) & set(own) <= set(repeated)  # "Sir?" is said more than once
    assert genloom.data.open(address, length=129).spec.vocabulary == 260  # bytes, and four tokens of its own


def test_the_right_answer_is_who_says_it_in_the_play() -> None:
    task = load_task("speaker:1")
    for item in task.items[:5]:
        play = Path(genloom_play()).read_text("utf-8")
        assert f"{item.answer}:\n{item.fields['question'][:40]}" in play
    assert "<|user|>" in task.context(0, 0, seed=0) and task.context(0, 2, seed=0).count("<|end|>") == 2
    with pytest.raises(ConfigError, match="folds 0 to 4"):
        load_task("speaker:7")


def genloom_play() -> str:
    import genloom_language

    return str(Path(genloom_language.__file__).parent / "data" / "play.txt")
