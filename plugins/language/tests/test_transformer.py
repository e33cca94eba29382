"""The transformer keeps the kit's promises, and computes what a plain implementation computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner
from keras import ops

import genloom
from genloom import DataSpec, backend, random
from genloom.data.validation import ValidationBatches, split_validation
from genloom.errors import ConfigError
from genloom.evaluation.heldout import losses
from genloom.model.naming import variable_names
from genloom.testing import ModelConformance
from genloom.training.feeding import HeldOut
from genloom_language.choosing import Rules, choose, penalised
from genloom_language.command import chat
from genloom_language.streaming import Stream

pytestmark = pytest.mark.long

TOKENS = DataSpec((9,), kind="text", dtype="int32", value_range=None, vocabulary=7)


# JAX's own attention computes its softmax in float32, whatever it is given.
PRECISION: Any = "float32" if backend.name() == "jax" else "float64"


class TestGPT(ModelConformance):
    id, hooks, spec, precision = "language/transformer", "genloom_language", TOKENS, PRECISION
    options: ClassVar[dict[str, Any]] = {"layers": 2, "heads": 2, "width": 8}


class TestLlama(ModelConformance):
    id, hooks, spec, precision = "language/transformer", "genloom_language", TOKENS, PRECISION
    options: ClassVar[dict[str, Any]] = {
        "layers": 2, "heads": 4, "kv_heads": 2, "width": 16, "position": "rotary", "norm": "rms",
        "activation": "swiglu", "tied": False, "dropout": 0.1,
    }  # fmt: skip


SPEC = TOKENS.replace(shape=(12,), vocabulary=11)
SHAPES: dict[str, dict[str, Any]] = {
    "gpt": {"layers": 2, "heads": 2, "width": 16},
    "llama": {
        "layers": 2, "heads": 4, "kv_heads": 2, "width": 16, "position": "rotary", "norm": "rms",
        "activation": "swiglu", "tied": False,
    },
}  # fmt: skip


def test_held_out_losses_of_packed_text_are_means_of_the_tokens_that_count(tmp_path: Path) -> None:
    """An even guess costs log V a token, also where most windows are a prompt; training says what evaluate says."""
    file = tmp_path / "lines.jsonl"
    file.write_text("\n".join(['{"prompt": "%s", "completion": "c"}' % ("ab" * 40)] * 20))
    dataset = genloom.data.open(f"jsonl:{file}?tokenizer=char&length=17")
    assert (dataset.train.weight.sum(axis=1) == 0).any(), "some windows count nothing"
    model = genloom.create("language/transformer", dataset.spec, layers=1, heads=1, width=8, tied=False)
    model.out.kernel.assign(np.zeros(model.out.kernel.shape))
    expected = np.log(dataset.spec.vocabulary)
    assert losses(model, dataset.train)["loss"] == pytest.approx(expected, rel=1e-6)

    quiet = {"batch_size": 4, "sample_every": 0, "progress": "none"}
    asked = {"steps": 2, "learning_rate": 0.0, "validation": 0.4, "seed": 1}
    run = genloom.train(model, dataset, out=tmp_path / "run", **asked, **quiet)
    aside = split_validation(dataset.train, 0.4, 1)[1]
    logged = [line["losses"]["val_loss"] for line in run.log() if "val_loss" in (line["losses"] or {})]
    assert logged == [pytest.approx(expected, rel=1e-6)]
    model.out.kernel.assign(np.random.default_rng(0).normal(size=model.out.kernel.shape))
    nats, weight = (ops.convert_to_numpy(part) for part in model._weighted(aside.take(np.arange(len(aside)))))
    by_hand = (nats * weight).sum() / weight.sum()
    assert losses(model, aside, batch_size=3)["loss"] == pytest.approx(by_hand, rel=1e-5)
    found = model.evaluate(HeldOut(ValidationBatches(aside, 3)), verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(by_hand, rel=1e-5)
    of_rows = ((nats * weight).sum(1) / weight.sum(1).clip(1)).mean()
    assert of_rows < 0.9 * by_hand, "a mean of rows is another number"


def made(shape: str, scale: float = 0.4, **options: Any) -> Any:
    """A model whose weights are large enough for every part to matter."""
    model = genloom.create("language/transformer", SPEC, **{**SHAPES[shape], **options})
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(scale * rng.standard_normal(variable.shape))
    return model


def tokens(n: int, length: int = 12) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 11, (n, length)).astype("int32")


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


@pytest.mark.parametrize("shape", SHAPES)
def test_no_token_sees_a_later_one(shape: str) -> None:
    model, x = made(shape), tokens(3)
    before = array(model.logits(x[:, :-1]))
    changed = x.copy()
    changed[:, 7] = (changed[:, 7] + 1) % 11
    after = array(model.logits(changed[:, :-1]))
    assert after[:, :7] == pytest.approx(before[:, :7], abs=1e-5)
    assert np.abs(after[:, 7:] - before[:, 7:]).max(axis=(1, 2)).min() > 0.01


def plain(model: Any, x: np.ndarray, shape: str, looks: np.ndarray | None = None) -> np.ndarray:
    """The same transformer in NumPy, a head and a position at a time, after the papers; `looks` gets its attention."""
    o = {name: array(v.value) for name, v in variable_names(model).items()}
    options, heads = model.options, model.options.heads
    size, kv_heads = options.width // heads, options.kv_heads or heads

    def norm(h: np.ndarray, scale: np.ndarray) -> np.ndarray:
        h = h - h.mean(-1, keepdims=True) if shape == "gpt" else h
        return h / np.sqrt((h**2).mean(-1, keepdims=True) + 1e-5) * scale

    def turn(v: np.ndarray, position: int) -> np.ndarray:
        if shape == "gpt":
            return v
        half = size // 2
        pairs = v[:half] + 1j * v[half:]
        turned = pairs * np.exp(1j * position * 10_000.0 ** (-np.arange(half) / half))
        return np.concatenate([turned.real, turned.imag])

    h = o["embedding/embeddings"][x]
    if shape == "gpt":
        h = h + o["position_embedding/embeddings"][: len(x)]
    for b in range(options.layers):
        w = {name.removeprefix(f"blocks/{b}/"): v for name, v in o.items() if name.startswith(f"blocks/{b}/")}
        y = norm(h, w["attention_norm/scale"])
        q, k, v = (y @ w[f"{name}/kernel"] for name in ("query", "key", "value"))
        mixed = np.zeros_like(h)
        for head in range(heads):
            own, shared = slice(head * size, (head + 1) * size), head // (heads // kv_heads)
            theirs = slice(shared * size, (shared + 1) * size)
            for t in range(len(x)):
                scores = np.array([turn(q[t, own], t) @ turn(k[s, theirs], s) for s in range(t + 1)]) / np.sqrt(size)
                p = np.exp(scores - scores.max())
                mixed[t, own] = (p / p.sum()) @ v[: t + 1, theirs]
                if looks is not None:
                    looks[b, head, t, : t + 1] = p / p.sum()
        h = h + mixed @ w["mix/kernel"]
        y = norm(h, w["network_norm/scale"])
        up = y @ w["up/kernel"]
        if shape == "gpt":
            inner = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
        else:
            gate = y @ w["gate/kernel"]
            inner = gate / (1 + np.exp(-gate)) * up
        h = h + inner @ w["down/kernel"]
    out = o["embedding/embeddings"].T if options.tied else o["out/kernel"]
    return norm(h, o["norm/scale"]) @ out


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_are_those_of_a_plain_implementation(shape: str) -> None:
    model, x = made(shape), tokens(2)
    expected = np.stack([plain(model, row[:-1], shape) for row in x])
    assert array(model.logits(x[:, :-1])) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_attention_is_that_of_a_plain_implementation(shape: str) -> None:
    model, x = made(shape), tokens(2)[:, :9]
    expected = np.zeros((2, 2, model.options.heads, 9, 9))
    for row, looks in zip(x, expected, strict=True):
        plain(model, row, shape, looks)
    found = array(model.attention(x))
    assert found.dtype == np.float32 and found == pytest.approx(expected, abs=1e-5)
    assert found.sum(-1) == pytest.approx(1.0, abs=1e-6)
    assert (np.triu(found, 1) == 0).all()
    assert np.abs(found - found[:, :, :1]).max() > 0.1  # heads differ, so that mixing them up would be seen


class Prompted(genloom.Preparation):
    """A prompt alone."""

    def __init__(self, prompt: Any) -> None:
        super().__init__()
        self.learned = prompt

    @property
    def prompt(self) -> Any:
        return self.learned


@pytest.mark.parametrize("kind", ["soft", "prefix"])
def test_a_learned_prompt_is_looked_at_before_the_text(kind: str) -> None:
    model, x = made("gpt"), tokens(2)[:, :6]
    model.prepare("prompt", Prompted(model.new_prompt(kind, 3, seed=0)))
    found, alone = array(model.attention(x)), array(made("gpt").attention(x))
    assert found.shape == (2, 2, 2, 6, 9) and found.sum(-1) == pytest.approx(1.0, abs=1e-6)
    assert (found[..., :3] > 0).all() and (np.triu(found[..., 3:], 1) == 0).all()
    # Of the first layer only the sum changes: the text's own weights keep their ratios.
    own = found[:, 0, ..., 3:] / found[:, 0, ..., 3:].sum(-1, keepdims=True)
    assert own == pytest.approx(alone[:, 0], abs=1e-5)


def test_the_loss_is_the_cross_entropy_of_the_next_token() -> None:
    model, x = made("gpt"), tokens(3)
    logits = array(model.logits(x[:, :-1])).astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.take_along_axis(log_p, x[:, 1:, None], -1)[..., 0]
    assert array(model.nats(x)) == pytest.approx(expected, abs=1e-4)
    assert array(model.log_prob(x)) == pytest.approx(-expected.sum(1), abs=1e-3)
    # Characters per token bring losses of different tokenizers to one unit.
    model.spec = model.spec.replace(rate=2.5)
    values = model.validate({"x": x})
    assert array(values["nats_per_char"]) == pytest.approx(expected.mean(1) / 2.5, abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_cache_changes_nothing(shape: str) -> None:
    model = made(shape)
    for options in ({"temperature": 0.0}, {"temperature": 0.7, "top_k": 4}):
        with_cache, without = (
            genloom.sample(model, 5, seed=3, cache=cache, **options).samples for cache in (True, False)
        )
        assert np.array_equal(with_cache, without)
    greedy = genloom.sample(model, 1, temperature=0.0).samples[0]
    # Each token is the likeliest after those before it.
    assert np.array_equal(array(model.logits(greedy[None, :-1]))[0].argmax(-1), greedy[1:])


def test_what_is_given_stays_whatever_its_length() -> None:
    model, x = made("gpt"), tokens(4)
    given = np.array([1, 3, 7, 11], "int32")
    drawn = genloom.sample(model, 4, seed=2, condition={"tokens": x, "given": given}).samples
    for row, count in enumerate(given):
        assert np.array_equal(drawn[row, :count], x[row, :count])
        alone = genloom.sample(
            model, 1, seed=2, offset=row, condition={"tokens": x[row : row + 1], "given": given[row : row + 1]}
        ).samples
        assert np.array_equal(alone[0], drawn[row])


def test_tokens_are_drawn_with_their_probabilities() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], "float32"))
    many = ops.broadcast_to(logits, (20_000, 4))

    def shares(**rules: float) -> np.ndarray:
        drawn = array(choose(random.keys(0, 20_000), many, Rules(**rules)))
        return np.bincount(drawn, minlength=4) / len(drawn)

    # A share of 20,000 has the deviation 0.0035 at most.
    assert shares() == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.015)
    assert shares(temperature=0.5) == pytest.approx(np.array([0.25, 0.09, 0.0225, 0.0025]) / 0.365, abs=0.015)
    assert shares(temperature=0.0).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert shares(top_k=2) == pytest.approx([0.625, 0.375, 0.0, 0.0], abs=0.015)
    assert shares(top_p=0.75) == pytest.approx([0.625, 0.375, 0.0, 0.0], abs=0.015)  # .5 is not enough, .8 is
    assert shares(top_p=0.85) == pytest.approx(np.array([0.5, 0.3, 0.15, 0.0]) / 0.95, abs=0.015)
    assert shares(min_p=0.4) == pytest.approx([0.625, 0.375, 0.0, 0.0], abs=0.015)
    # The entropy is 1.142 nats; surprises are .69, 1.20, 1.90, 3.00: the second token is the most typical.
    assert shares(typical=0.2) == pytest.approx([0.0, 1.0, 0.0, 0.0], abs=0.015)
    assert shares(typical=0.6) == pytest.approx([0.625, 0.375, 0.0, 0.0], abs=0.015)


def test_tokens_that_occurred_are_made_less_likely() -> None:
    """Keskar et al. 2019, equation 1."""
    logits, seen = np.array([[2.0, -2.0, 1.0]], "float32"), np.array([[1.0, 2.0, 0.0]], "float32")
    assert array(penalised(logits, seen, Rules(repetition=2.0))) == pytest.approx(np.array([[1.0, -4.0, 1.0]]))
    greedy = genloom.sample(made("gpt"), 1, temperature=0.0, repetition=1e6).samples[0]
    # A seen token with a positive logit falls to nothing, one with a negative logit below everything.
    assert len(set(greedy[:6].tolist())) == 6


@pytest.mark.parametrize("wrong", [{"top_p": 0.0}, {"typical": 1.5}, {"temperature": -1.0}, {"repetition": 0.0}])
def test_rules_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=f"{name}={value} is out of range"):
        genloom.sample(made("gpt"), 1, **wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"heads": 3}, "must divide width"), ({"heads": 4, "kv_heads": 3}, "kv_heads=3"),
     ({"width": 6, "heads": 2, "position": "rotary"}, "turn pairs of values")],
)  # fmt: skip
def test_heads_that_do_not_fit_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        genloom.create("language/transformer", SPEC, **{"width": 16, **options})


def test_data_without_a_vocabulary_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs tokens with a vocabulary"):
        genloom.create("language/transformer", DataSpec((4,), kind="text"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of seconds on the embedded text."""
    settings = {"steps": 5, "batch_size": 4, "sample_count": 2, "progress": "none"}
    options = {"layers": 1, "heads": 2, "width": 16}
    out = tmp_path_factory.mktemp("language") / "run"
    return genloom.train("language/transformer", "play?length=17", options=options, out=out, **settings)


def test_a_run_keeps_its_tokenizer_and_reads_prompts(run: Any) -> None:
    assert (run.path / "tokenizer.json").is_file()
    drawn = genloom.sample(run, 3, condition={"prompt": "MENENIUS:"})
    assert drawn.samples.shape == (3, 1) and all(text.startswith("MENENIUS:") for text in drawn.samples[:, 0])
    raw = genloom.sample(run, 2, post=())
    assert (
        raw.samples.dtype == np.int32 and (raw.samples[:, 0] == 0).all()
    )  # a line's end is the first of its characters
    assert len(list((run.path / "samples").glob("epoch-*.txt"))) == 1
    for prompt, words in (("ñ", "does not know"), ("MENENIUS" * 3, "takes 1 to 16")):
        with pytest.raises(ConfigError, match=words):
            genloom.sample(run, 1, condition={"prompt": prompt})
    page = genloom.report.write(run).read_text("utf-8")
    assert "Texts over training" in page
    found = {entry["name"]: entry for entry in genloom.evaluate(run, n=4)["results"]}
    windows = genloom.data.open("play?length=17").test
    assert found["test_nats_per_char"]["n"] == len(windows)
    model = genloom.load(run)
    assert found["test_loss"]["value"] == pytest.approx(array(model.nats(windows.arrays()["x"])).mean(), abs=1e-4)


def test_a_stream_tells_what_a_sample_holds(run: Any) -> None:
    model = genloom.load(run)
    for rules in (Rules(temperature=0.0), Rules(temperature=0.9, top_k=5)):
        options = {"temperature": rules.temperature, "top_k": rules.top_k}
        whole = genloom.sample(run, 1, seed=4, condition={"prompt": "MARCIUS"}, **options).samples[0, 0]
        assert "".join(Stream(model, rules, seed=4)("MARCIUS", 10)) == whole.removeprefix("MARCIUS")
    # A context of 16 is full after nine tokens: the text goes on all the same.
    assert len("".join(Stream(model, Rules())("MARCIUS", 40))) == 40


def test_chat_goes_on_with_lines_and_ends_at_a_stop(run: Any) -> None:
    runner = CliRunner()
    done = runner.invoke(chat, [str(run.path), "-n", "12"], input="MARCIUS\n\nROMEO\n")
    assert done.exit_code == 0 and len(done.stdout) >= 2 * 13
    stop = done.stdout[3:5]
    short = runner.invoke(chat, [str(run.path), "-n", "12", "--stop", stop], input="MARCIUS\n")
    assert short.stdout == done.stdout.partition(stop)[0] + "\n"
    wrong = runner.invoke(chat, [str(run.path), "--set", "top_q=1"], input="x\n")
    assert isinstance(wrong.exception, ConfigError) and "top_p" in str(wrong.exception)
