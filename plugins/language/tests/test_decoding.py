"""Decoding: prompts of any length, where a text ends, beam search, and what all of this costs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, backend, random
from genloom.errors import ConfigError
from genloom_language.beams import beam_search
from genloom_language.choosing import Rules
from genloom_language.decoding import decode, init_state, steps_left
from genloom_language.ending import NOTHING, until
from genloom_language.options import DetokeniseOptions
from genloom_language.published import publish
from genloom_language.streaming import Stream
from genloom_language.tokens import SPECIAL, encode, first_token, train_tokenizer, with_special
from genloom_language.words import detokenise

pytestmark = pytest.mark.long

TEXT = "to be, or not to be: that is the question.\nwhether 'tis nobler in the mind to suffer\n" * 4
SHAPES: dict[str, dict[str, Any]] = {
    "gpt": {"layers": 2, "heads": 2, "width": 16},
    "llama": {
        "layers": 2, "heads": 4, "kv_heads": 2, "width": 16, "position": "rotary", "norm": "rms",
        "activation": "swiglu", "tied": False,
    },
}  # fmt: skip


def made(vocabulary: int = 11, length: int = 12, shape: str = "gpt", **options: Any) -> Any:
    """A model whose weights are large enough for every part to matter."""
    spec = DataSpec((length,), kind="text", dtype="int32", value_range=None, vocabulary=vocabulary)
    model = genloom.create("language/transformer", spec, **{**SHAPES[shape], **options})
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(0.4 * rng.standard_normal(variable.shape))
    return model


def reader(kind: str = "char", special: bool = False, **given: Any) -> Any:
    """A model with a tokenizer."""
    tokenizer = train_tokenizer(kind, TEXT, 270)
    tokenizer = with_special(tokenizer) if special else tokenizer
    model = made(tokenizer.get_vocab_size(), **{"length": 24, **given})
    model.tokenizer, model.start = tokenizer, first_token(tokenizer)
    return model


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


class Counted:
    """How often the Python of a function ran: on torch once for each capture, else once for each trace."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.function(*args, **kwargs)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_prompt_of_several_parts_is_read_as_one_is_token_by_token(shape: str) -> None:
    model = made(length=75, shape=shape)  # parts of 32: the third begins inside the second
    x = np.random.default_rng(2).integers(0, 11, (3, 75)).astype("int32")
    given = np.array([1, 33, 70], "int32")
    for options in ({"temperature": 0.0}, {"temperature": 0.8, "top_k": 5}):
        with_cache, without = (
            genloom.sample(model, 3, seed=1, condition={"tokens": x, "given": given}, cache=cache, **options).samples
            for cache in (True, False)
        )
        assert np.array_equal(with_cache, without)
    greedy = genloom.sample(model, 3, condition={"tokens": x, "given": given}, temperature=0.0).samples
    likeliest = array(model.logits(greedy[:, :-1])).argmax(-1)
    for row, count in enumerate(given):
        assert np.array_equal(greedy[row, :count], x[row, :count])
        assert np.array_equal(greedy[row, count:], likeliest[row, count - 1 :])


def test_prompts_of_different_lengths_give_together_what_each_gives_alone() -> None:
    model, prompts = reader(), ["t", "to be", "whether 'tis"]
    for options in ({"temperature": 0.0}, {"temperature": 0.9}, {"max_tokens": 4}, {"beams": 3}):
        together = genloom.sample(model, 3, seed=5, condition={"prompt": prompts}, **options).samples
        for row, prompt in enumerate(prompts):
            given = {"prompt": prompt}
            alone = genloom.sample(model, 1, seed=5, offset=row, condition=given, **options).samples
            assert np.array_equal(alone[0], together[row])


def test_ten_lengths_of_prompts_are_compiled_once() -> None:
    model = reader()
    model.next_logits = counted = Counted(model.next_logits)
    model.extend = reading = Counted(model.extend)
    for count in (2, 3, 5, 7, 8, 11, 13, 17, 20, 23):
        genloom.sample(model, 1, condition={"prompt": TEXT[:count]}, temperature=0.0)
    # An engine may trace a loop's body more than once for one compilation, for its types.
    assert counted.calls <= 2 and reading.calls <= 2 * counted.calls + 2


# Drawn on torch; a token that is as likely as another would have to differ in its last digits to be another one.
DRAWN = {
    "gpt": ["0a8a86831308830669858889", "0688618193866912618a6018", "0a6663886888566958388888"],
    "llama": ["08aa44a14309999a62740519", "0684116100690514a105a021", "006663745881166a51178401"],
}


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_seed_draws_the_same_tokens_on_every_engine(shape: str, cache: bool) -> None:
    asked = {"temperature": 1.5, "top_p": 0.9, "cache": cache}
    drawn = genloom.sample(made(length=24, shape=shape), 3, seed=5, **asked).samples
    assert ["".join(f"{token:x}" for token in row) for row in drawn] == DRAWN[shape]


def test_no_more_tokens_are_drawn_than_were_asked_for() -> None:
    model = reader()
    whole = genloom.sample(model, 2, seed=3, condition={"prompt": ["to be", "or"]}).samples
    short = genloom.sample(model, 2, seed=3, condition={"prompt": ["to be", "or"]}, max_tokens=4)
    for row, given in enumerate((5, 2)):
        assert np.array_equal(short.samples[row, : given + 4], whole[row, : given + 4])
        assert (short.samples[row, given + 4 :] == NOTHING).all()
    assert [int(array(steps_left(24, np.array([5, 2]), most))) for most in (4, 0)] == [4, 22]
    with pytest.raises(ConfigError, match="max_tokens must not be negative"):
        genloom.sample(model, 1, max_tokens=-1)


def test_after_the_end_token_a_text_holds_no_other() -> None:
    model = reader(special=True)
    end = model.tokenizer.token_to_id(SPECIAL["end"])
    endless = genloom.sample(model, 16, seed=0, temperature=2.0).samples
    assert (endless == end).any()
    for row in endless:
        first = next((place for place, token in enumerate(row) if token == end), len(row))
        assert (row[first:] == end).all()
    # An end that was given ends nothing.
    given = np.full((16, 24), end, "int32")
    drawn = genloom.sample(model, 16, condition={"tokens": given, "given": np.full(16, 2)}, temperature=2.0).samples
    assert (drawn[:, 2] != end).any()


def test_a_stream_ends_with_the_end_token() -> None:
    model = reader(special=True)
    end, prompt, rules = model.tokenizer.token_to_id(SPECIAL["end"]), "to be", Rules(temperature=2.0)
    for seed in range(20):
        row = genloom.sample(model, 1, seed=seed, condition={"prompt": prompt}, temperature=2.0).samples[0].tolist()
        if end in row:
            break
    told = model.tokenizer.decode(row[5 : row.index(end)])
    assert "".join(Stream(model, rules, seed)(prompt, 100)) == told


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_a_text_ends_where_its_stop_begins_even_inside_a_token(kind: str) -> None:
    tokenizer = train_tokenizer(kind, TEXT, 270)
    texts, prompt = ["to be, or not to be: that is", "to be: the question.", "to be"], "to be"
    tokens = np.full((3, 40), NOTHING, "int32")
    for row, text in enumerate(texts):
        ids = encode(tokenizer, text)
        tokens[row, : len(ids)] = ids
    given = np.full(3, len(encode(tokenizer, prompt)))
    for stop, expected in {
        "to": ["to be, or not ", "to be: the question.", "to be"],  # the prompt's own does not count
        "e": ["to be, or not to b", "to be: th", "to be"],
        "est": ["to be, or not to be: that is", "to be: the qu", "to be"],
        " ": ["to be,", "to be:", "to be"],
        "absent": texts,
    }.items():
        cut = until(tokenizer, tokens, given, stop)
        assert [tokenizer.decode([t for t in row if t != NOTHING]) for row in cut.tolist()] == expected
        assert cut.shape == tokens.shape and np.array_equal(cut[:, : given[0]], tokens[:, : given[0]])


def test_a_sample_ends_at_its_stop() -> None:
    model = reader(length=40)
    whole = model.tokenizer.decode(genloom.sample(model, 1, seed=7, condition={"prompt": "to be"}).samples[0].tolist())
    stop = whole[20:22]
    drawn = genloom.sample(model, 1, seed=7, condition={"prompt": "to be"}, stop=stop)
    expected = "to be" + whole[5:].partition(stop)[0]
    assert model.tokenizer.decode([t for t in drawn.samples[0].tolist() if t != NOTHING]) == expected
    assert len(expected) < len(whole)
    # The command line writes a line's end as \n.
    broken = genloom.sample(model, 1, seed=7, stop="\\n").samples[0]
    kept = [t for t in broken.tolist()[1:] if t != NOTHING]
    assert "\n" not in model.tokenizer.decode(kept)
    model.tokenizer = None
    with pytest.raises(ConfigError, match="no tokenizer"):
        genloom.sample(model, 1, stop="x")


def everything(model: Any, prompt: list[int], count: int, end: int | None, penalty: float) -> list[int]:
    """The best of all texts of `count` tokens, or that end sooner, each computed by itself."""
    best: tuple[float, list[int]] = (-np.inf, [])
    texts = set()
    for tail in itertools.product(range(model.spec.vocabulary), repeat=count):
        cut = tail.index(end) + 1 if end in tail else count
        texts.add(tail[:cut])
    for tail in sorted(texts):
        x = np.array([[*prompt, *tail] + [0] * (model.length - len(prompt) - len(tail))], "int32")
        nats = array(model.nats(x))[0, len(prompt) - 1 : len(prompt) + len(tail) - 1]
        value = -nats.sum() / ((5 + len(tail)) / 6) ** penalty
        if value > best[0]:
            best = value, [*tail, *[end or 0] * (count - len(tail))]
    return best[1]


class WithEnd:
    """A tokenizer of which only the end is asked."""

    def __init__(self, end: int) -> None:
        self.end = end

    def token_to_id(self, word: str) -> int:
        return self.end


@pytest.mark.parametrize(("end", "penalty"), [(None, 0.0), (2, 0.0), (2, 1.0)])
def test_a_search_that_follows_every_beginning_finds_the_best_text(end: int | None, penalty: float) -> None:
    model, prompt, count = made(vocabulary=4, length=8), [1, 3, 0], 3
    if end is not None:
        model.tokenizer = WithEnd(end)
    x = np.zeros((1, 8), "int32")
    x[0, :3] = prompt
    found = genloom.sample(
        model, 1, condition={"tokens": x, "given": np.array([3])}, max_tokens=count, beams=64, length_penalty=penalty
    ).samples[0]
    assert found[3:6].tolist() == everything(model, prompt, count, end, penalty)


@pytest.mark.parametrize("beams", [1, 2])
def test_nothing_is_computed_once_every_text_has_ended(beams: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, whole = made(vocabulary=4, length=60), backend.loop
    model.tokenizer = WithEnd(2)
    x, given, steps = np.zeros((3, 60), "int32"), np.array([1, 2, 5], "int32"), []

    def counting(step: Any, n: Any, state: Any, until: Any = None) -> Any:
        more = None if until is None else lambda s: until(s[0])
        state, count = whole(lambda i, s: (step(i, s[0]), s[1] + 1), n, (state, ops.zeros((), "int32")), more)
        steps.append(int(count))
        return state

    def found(loop: Any) -> np.ndarray:
        monkeypatch.setattr(backend, "loop", loop)
        state = init_state(model, x, given, random.keys(0, 3))
        texts = beam_search(model, state, beams, 0.0, 59) if beams > 1 else decode(model, state, Rules(), 59)[0]
        return array(texts)

    early = found(counting)
    late = found(lambda step, n, state, until=None: counting(step, n, state))
    assert np.array_equal(early, late)
    first = [row[count:].tolist().index(2) + 1 for row, count in zip(early, given, strict=True)]  # all have ended
    _, drawn, _, drawn_late = steps
    assert drawn_late == 59
    assert drawn == max(first) if beams == 1 else max(first) <= drawn < 59


def test_a_search_with_one_beam_is_greedy_and_a_wide_one_is_no_worse() -> None:
    model = made(vocabulary=11, length=12, shape="llama")
    x = np.random.default_rng(4).integers(0, 11, (4, 12)).astype("int32")
    given = np.array([1, 2, 5, 9], "int32")
    state = init_state(model, x, given, random.keys(0, 4))
    greedy = array(decode(model, state, Rules(temperature=0.0), 11)[0])
    assert np.array_equal(array(beam_search(model, state, 1, 0.0, 11)), greedy)
    wide = array(beam_search(model, state, 6, 0.0, 11))
    ours, theirs = array(model.log_prob(wide)), array(model.log_prob(greedy))
    assert (ours >= theirs - 1e-4).all() and (ours > theirs + 0.01).any()
    without = beam_search(model, init_state(model, x, given, random.keys(0, 4), cache=False), 6, 0.0, 11)
    assert np.array_equal(array(without), wide)


def test_beams_are_those_of_transformers(tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    if keras.config.backend() != "torch":
        pytest.skip("another engine than the library's")
    ours = made(vocabulary=23, length=17, bias=True)
    publish(ours, tmp_path / "published")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "published").eval()
    theirs.generation_config.eos_token_id = None
    prompts = np.random.default_rng(3).integers(0, 22, (5, 4))
    x = np.concatenate([prompts, np.zeros((5, 13))], axis=1).astype("int32")
    for beams in (1, 4):
        found = theirs.generate(
            torch.tensor(prompts), attention_mask=torch.ones(5, 4), max_new_tokens=9, num_beams=beams,
            do_sample=False, pad_token_id=0,
        ).numpy()  # fmt: skip
        rules: dict[str, Any] = {"temperature": 0.0} if beams == 1 else {"beams": beams}
        mine = genloom.sample(ours, 5, condition={"tokens": x, "given": np.full(5, 4)}, max_tokens=9, **rules).samples[
            :, :13
        ]
        assert np.array_equal(mine, found)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"beams": 0}, "beams=0 or length_penalty"), ({"beams": 2, "temperature": 0.5}, "searches and draws nothing"),
     ({"beams": 2, "top_k": 3}, "searches and draws nothing"),
     ({"length_penalty": 0.6}, "without beams"), ({"beams": 2, "length_penalty": -1.0}, "out of range")],
)  # fmt: skip
def test_beams_with_what_contradicts_them_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        genloom.sample(made(), 1, **options)


def test_words_leave_out_what_is_no_token(tmp_path: Path) -> None:
    model = reader()
    file = tmp_path / "tokenizer.json"
    model.tokenizer.save(str(file))
    short = genloom.sample(model, 2, condition={"prompt": ["to be", "or"]}, max_tokens=3)
    texts = detokenise(short, DetokeniseOptions(tokenizer=str(file)), None).samples[:, 0]  # type: ignore[arg-type]
    assert [len(text) for text in texts] == [8, 5] and texts[0].startswith("to be")
