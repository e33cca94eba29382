"""Hidden ciphers: what the texts are, that held-out codes are not trained on, and that looking up is learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import genloom
from genloom.errors import DataError
from genloom_language.cipher import secrets
from genloom_language.prompting import cipher_task, load_task, prompt
from genloom_language.tokens import load_tokenizer

pytestmark = pytest.mark.any_engine


def test_a_text_is_in_one_code_and_only_the_codes_count(tmp_path: Path) -> None:
    data = genloom.data.open("cipher?symbols=6&pairs=60&n=50")
    (tmp_path / "t.json").write_bytes(data.files["tokenizer.json"])
    tokenizer, batch = load_tokenizer(tmp_path / "t.json"), data.test.arrays(20)
    assert data.spec.vocabulary == 12 and batch["x"].shape == (20, 120) and batch["x"].dtype == np.int32
    codes = set()
    for row, weight in zip(batch["x"], batch["weight"], strict=True):
        text = tokenizer.decode(row.tolist())
        code = dict(zip(text[::2], text[1::2], strict=True))
        assert [code[letter] for letter in text[::2]] == list(text[1::2])
        assert sorted(code) == list("abcdef") and sorted(code.values()) == list("ABCDEF")
        assert tokenizer.decode(row[weight > 0].tolist()) == text[1::2]
        codes.add(tuple(code.values()))
    assert len(codes) > 10


def test_texts_that_share_a_window_have_codes_of_their_own_and_begin_anew() -> None:
    batch = genloom.data.open("cipher?symbols=6&pairs=30&n=80").train.arrays()
    several = 0
    for x, text, place in zip(batch["x"], batch["document"], batch["position"], strict=True):
        several += text[-1] > 0
        assert np.array_equal(np.unique(text), np.arange(text[-1] + 1))
        for number in range(text[-1] + 1):
            own = x[text == number]
            assert np.array_equal(place[text == number], np.arange(len(own)))
            assert len(set(zip(own[::2].tolist(), own[1::2].tolist(), strict=True))) == len(set(own[::2].tolist()))
    assert several > 30  # of 40: every other window is one text


def test_codes_held_out_are_never_trained_on() -> None:
    train, test = (
        {tuple(secret.tolist()) for secret in secrets(np.random.default_rng(0), 9000, 6, held_out)}
        for held_out in (False, True)
    )
    assert not train & test and len(train | test) == 720 and 60 <= len(test) <= 120
    for symbols in range(4, 27):  # there are some for every number
        assert len(secrets(np.random.default_rng(0), 3, symbols, held_out=True)) == 3


def test_texts_depend_on_the_seed_alone() -> None:
    first, same, other = (genloom.data.open(f"cipher?n=20&seed={seed}") for seed in (1, 1, 2))
    assert np.array_equal(first.train.arrays()["x"], same.train.arrays()["x"])
    assert first.fingerprint == same.fingerprint != other.fingerprint
    with pytest.raises(DataError, match="nothing after it"):
        genloom.data.open("cipher:x")


def test_the_letter_asked_for_was_told_as_often_as_there_are_examples() -> None:
    task = cipher_task(16, 30)
    for index, item in enumerate(task.items):
        letter, code = item.fields["question"], item.answer
        for k in (0, 1, 4):
            context = task.context(index, k, 0)
            assert context.endswith(letter) and context.count(letter + code) == k
            assert len(context) == 2 * 8 * k + 1 and len(set(context[:-1])) == (16 if k else 0)
    right = [item.correct for item in cipher_task(16, 2000).items]
    # Every code is as often right: 125 ± 11 of 2,000.
    assert np.bincount(right, minlength=16) == pytest.approx(np.full(16, 125), abs=45)
    assert load_task("cipher:16").digest == cipher_task().digest != load_task("cipher:8").digest


def test_a_small_model_learns_to_look_a_code_up(tmp_path: Path) -> None:
    """Six letters in half a minute; the quality test has sixteen."""
    run = genloom.train(
        "language/transformer", "cipher?symbols=6&pairs=16", preset="lookup", out=tmp_path / "run",
        steps=500, validation=0.0, sample_every=0, progress="none",
    )  # fmt: skip
    results = prompt(run, cipher_task(6, 200), [0, 1, 2])["results"]
    none, once, twice = [entry for entry in results if entry["measure"] == "acc"]
    assert none["floor"] == pytest.approx(1 / 6)
    # Nothing can be known without an example: three standard errors of 200 coins of 1/6 are 0.08.
    assert none["value"] == pytest.approx(1 / 6, abs=0.08)
    assert once["value"] >= 0.9 and twice["value"] >= 0.9
