"""Published weights give here what they give in transformers, and go back to it bit by bit; what is broken is refused.

`published/` holds what transformers 5.24.0 wrote and computed: see make_published.py.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from keras import ops
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models, normalizers

import genloom
from genloom.errors import ConfigError
from genloom.options import configure
from genloom_language.choosing import Rules
from genloom_language.command import chat
from genloom_language.options import PRESETS, TransformerOptions
from genloom_language.published import adopt, command, publish
from genloom_language.published.formats import FORMATS
from genloom_language.streaming import Stream
from genloom_language.tokens import encode, load_tokenizer, opening

pytestmark = pytest.mark.long

PUBLISHED = Path(__file__).with_name("published")
SPEC = genloom.DataSpec((15,), kind="text", dtype="int32", value_range=None, vocabulary=64)
END = 34  # which the greedy text of the model llama holds
NAMES = ("gpt2", "gpt2-untied", "llama", "llama-tied")


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def written(folder: Path) -> dict[str, np.ndarray]:
    """All tensors of a folder, those of 16 bits as float32."""
    found: dict[str, np.ndarray] = {}
    for file in folder.glob("model*.safetensors"):
        found |= {name: value.astype("float32") for name, value in load_file(file).items()}
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The run of a published model, made once."""
    folder = tmp_path_factory.mktemp("adopted")

    def run(name: str) -> Any:
        path = folder / name
        return genloom.Run(path) if path.exists() else adopt(PUBLISHED / name, path)

    return run


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_greedy_text_are_those_of_transformers(runs: Callable[[str], Any], name: str) -> None:
    run, expected = runs(name), load_file(PUBLISHED / name / "expected.safetensors")
    model = genloom.load(run)
    assert model.spec.shape == (15,) and model.spec.vocabulary == 64  # a context of 14 and the token after it
    assert array(model.logits(expected["tokens"])) == pytest.approx(expected["logits"], abs=1e-4)
    assert np.abs(expected["logits"]).max() > 1
    for cache in (True, False):
        options = {"condition": {"prompt": "To be"}, "temperature": 0.0, "post": (), "cache": cache}
        assert np.array_equal(genloom.sample(run, 1, **options).samples[:, :14], expected["greedy"])


def test_every_part_of_a_configuration_shows_in_the_logits(tmp_path: Path) -> None:
    """Were one of them not read, the models above would be silently wrong ones."""
    changes = {"gpt2": {"layer_norm_epsilon": 1e-5}, "llama": {"rms_norm_eps": 1e-6, "rope_parameters": {}}}
    for name, values in changes.items():
        for key, value in values.items():
            changed = shutil.copytree(PUBLISHED / name, tmp_path / name / key)
            config = json.loads((changed / "config.json").read_text())
            (changed / "config.json").write_text(json.dumps(config | {key: value}))
            expected = load_file(PUBLISHED / name / "expected.safetensors")
            model = genloom.load(adopt(changed, tmp_path / name / f"{key}-run"))
            assert np.abs(array(model.logits(expected["tokens"])) - expected["logits"]).max() > 0.02


@pytest.mark.parametrize("name", NAMES)
def test_a_run_goes_back_to_what_was_published_bit_by_bit(
    runs: Callable[[str], Any], name: str, tmp_path: Path
) -> None:
    folder = publish(runs(name), tmp_path / "out")
    before, after = written(PUBLISHED / name), written(folder)
    assert before.keys() == after.keys()
    assert all(np.array_equal(after[key], value) for key, value in before.items())
    stated, config = (json.loads((path / "config.json").read_text()) for path in (PUBLISHED / name, folder))
    same = {"vocab_size", "model_type", "architectures", "n_positions", "n_head", "layer_norm_epsilon", "head_dim",
            "rms_norm_eps", "rope_parameters", "num_key_value_heads", "attention_bias", "mlp_bias", "hidden_act",
            "tie_word_embeddings", "max_position_embeddings", "activation_function", "intermediate_size"}  # fmt: skip
    assert {key: config[key] for key in same & stated.keys()} == {key: stated[key] for key in same & stated.keys()}
    # What comes back is the same run.
    again = genloom.load(adopt(folder, tmp_path / "again"))
    first = genloom.load(runs(name))
    assert again.options == first.options and again.spec == first.spec
    x = load_file(PUBLISHED / name / "expected.safetensors")["tokens"]
    assert np.array_equal(array(again.logits(x)), array(first.logits(x)))


def test_a_shorter_window_computes_the_same(tmp_path: Path) -> None:
    expected = load_file(PUBLISHED / "gpt2" / "expected.safetensors")
    run = adopt(PUBLISHED / "gpt2", tmp_path / "run", length=9)
    model = genloom.load(run)
    assert array(model.logits(expected["tokens"][:, :8])) == pytest.approx(expected["logits"][:, :8], abs=1e-4)
    assert genloom.sample(run, 2, post=()).samples.shape == (2, 9)
    assert json.loads((publish(run, tmp_path / "out") / "config.json").read_text())["n_positions"] == 8
    for length in (1, 16):
        with pytest.raises(ConfigError, match=f"length={length} is no window.*2 to 15"):
            adopt(PUBLISHED / "gpt2", tmp_path / "none", length=length)


def test_a_tokenizers_own_beginning_stands_before_prompts_and_missing_tokens_are_filled_up(
    runs: Callable[[str], Any],
) -> None:
    tokenizer = load_tokenizer(runs("llama").path / "tokenizer.json")
    assert opening(tokenizer) == [61] and opening(load_tokenizer(runs("gpt2").path / "tokenizer.json")) == []
    assert tokenizer.get_vocab_size() == 64 and tokenizer.id_to_token(63).startswith("<|unused")
    model = genloom.load(runs("llama"))
    assert model.start == 61
    assert model.read_condition({"prompt": "To"}, 1)["tokens"][0, :3].tolist() == [61, *tokenizer.encode("To").ids[1:]]
    # A beginning is no part of the text.
    assert genloom.sample(runs("llama"), 1, condition={"prompt": "To"}).samples[0, 0].startswith("To")


@pytest.mark.parametrize(
    ("stated", "ends"),
    [
        ({"generation_config.json": {"eos_token_id": END}}, (END,)),
        ({"generation_config.json": {"eos_token_id": [62, END]}, "config.json": {"eos_token_id": 3}}, (62, END)),
        ({"config.json": {"eos_token_id": END}}, (END,)),
        ({"tokenizer_config.json": {"eos_token": "</s>"}}, (62,)),
        ({"tokenizer_config.json": {"eos_token": {"content": "</s>", "lstrip": False}}}, (62,)),
        ({"config.json": {"eos_token_id": 99}}, ()),
    ],
)
def test_an_adopted_model_ends_its_texts_as_its_configuration_says(
    stated: dict[str, Any], ends: tuple[int, ...], tmp_path: Path
) -> None:
    shutil.copytree(PUBLISHED / "llama", folder := tmp_path / "llama")
    for name, values in stated.items():
        file = folder / name
        file.write_text(json.dumps((json.loads(file.read_text()) if file.exists() else {}) | values))
    run = adopt(folder, tmp_path / "run")
    model = genloom.load(run)
    assert model.ends == ends
    assert run.config["model"]["options"]["ends"] == list(ends)
    kept = json.loads((publish(run, tmp_path / "out") / "config.json").read_text())["eos_token_id"]
    assert kept == (list(ends) if len(ends) > 1 else ends[0] if ends else None)
    greedy = load_file(PUBLISHED / "llama" / "expected.safetensors")["greedy"][0].tolist()
    drawn = genloom.sample(run, 1, condition={"prompt": "To be"}, temperature=0.0, post=()).samples[0].tolist()
    place = greedy.index(END)
    if END in ends:  # six tokens are given; after the end nothing comes
        assert drawn == [*greedy[:place], END, *[ends[0]] * (14 - place)]
        assert len(list(Stream(model, Rules(temperature=0.0))._tokens(*_asked(model)))) == place - 6
    else:
        assert drawn[:14] == greedy


def _asked(model: Any) -> tuple[np.ndarray, int, int]:
    arrays = model.read_condition({"prompt": "To be"}, 1)
    return np.array(arrays["tokens"]), int(arrays["given"][0]), 9


def test_what_a_published_tokenizer_says_of_shortening_is_left_out(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(PUBLISHED / "gpt2" / "tokenizer.json")
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert len(encode(load_tokenizer(tmp_path / "tokenizer.json"), "To be, or not")) == 13


def test_a_tokenizer_that_falls_back_on_bytes_knows_every_text() -> None:
    """As that of Llama 2, which has no white space but a mark in its place."""
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a"]
    model = models.BPE({word: i for i, word in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    assert encode(tokenizer, "a ñ").tolist() == [258, 257, 1 + 0xC3, 1 + 0xB1]


def test_an_adopted_run_is_chatted_with_and_started_from(runs: Callable[[str], Any], tmp_path: Path) -> None:
    run = runs("gpt2")
    done = CliRunner().invoke(chat, [str(run.path), "-n", "20"], input="To be\n")
    assert done.exit_code == 0 and len(done.stdout) == 21
    (tmp_path / "mine.txt").write_text("To be, or not to be? That is the question.\n" * 20)
    data = f"text:{tmp_path / 'mine.txt'}?tokenizer={run.path / 'tokenizer.json'}&length=15"
    options = run.config["model"]["options"]
    settings = {"batch_size": 4, "sample_every": 0, "progress": "none", "init_from": run.path, "options": options}
    expected = load_file(PUBLISHED / "gpt2" / "expected.safetensors")
    begun = genloom.train("language/transformer", data, steps=0, out=tmp_path / "begun", **settings)
    logits = array(genloom.load(begun).logits(expected["tokens"]))
    assert logits == pytest.approx(expected["logits"], abs=1e-4)
    trained = genloom.train("language/transformer", data, steps=20, out=tmp_path / "trained", **settings)
    losses = [
        {e["name"]: e["value"] for e in genloom.evaluate(r, n=4)["results"]}["test_loss"] for r in (begun, trained)
    ]
    assert losses[1] < losses[0] - 1
    with pytest.raises(ConfigError, match="has no data"):
        genloom.evaluate(run)


def test_the_commands_do_what_the_functions_do(tmp_path: Path) -> None:
    runner = CliRunner()
    words = [str(PUBLISHED / "llama"), "--out", str(tmp_path / "run"), "--length", "7"]
    done = runner.invoke(command.adopt, [*words, "--json"], catch_exceptions=False)
    stated = json.loads(done.stdout)
    assert (stated["length"], stated["options"]["rotary_base"]) == (7, 500.0)
    folder = tmp_path / "folder"
    done = runner.invoke(command.publish, [str(tmp_path / "run"), "--out", str(folder)], catch_exceptions=False)
    assert done.stdout == f"{folder}\n" and (folder / "model.safetensors").is_file()
    for taken in (folder, tmp_path / "run"):
        with pytest.raises(ConfigError, match="is there already"):
            publish(tmp_path / "run", taken)


def test_models_without_biases_are_written_with_zeros_and_averages_as_they_sample(tmp_path: Path) -> None:
    settings = {"steps": 2, "batch_size": 4, "sample_every": 0, "progress": "none"}
    options = {"layers": 1, "heads": 2, "width": 16}
    run = genloom.train(
        "language/transformer", "play?length=9", options=options, out=tmp_path / "run", ema=0.5, **settings
    )
    x = genloom.data.open("play?length=9").test.arrays(4)["x"][:, :8]
    again = genloom.load(adopt(publish(run, tmp_path / "published"), tmp_path / "again"))
    assert again.options.bias and not genloom.load(run).options.bias
    assert array(again.logits(x)) == pytest.approx(array(genloom.load(run).logits(x)), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"position": "rotary"}, "no norm=layer"), ({"position": "rotary", "norm": "rms"}, "no activation=gelu"),
     ({"norm": "rms"}, "no norm=rms"), ({"kv_heads": 1}, "no kv_heads=1")],
)  # fmt: skip
def test_a_model_without_a_counterpart_is_not_written(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    spec = genloom.DataSpec((9,), kind="text", dtype="int32", value_range=None, vocabulary=7)
    model = genloom.create("language/transformer", spec, layers=1, heads=2, width=8, **options)
    with pytest.raises(ConfigError, match=words):
        publish(model, tmp_path / "out")
    with pytest.raises(ConfigError, match="no counterpart"):
        publish(object(), tmp_path / "out")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("preset", "vocabulary", "leaving_out", "count"),
    [
        ("gpt2-small", 50257, (), 124_439_808),  # as OpenAI's
        ("gpt2-medium", 50257, (), 354_823_168),
        ("nano-gpu", 65, (".bias", "wpe.weight"), 10_646_784),  # "10.65M", as nanoGPT counts
    ],
)
def test_presets_of_published_shapes_have_their_number_of_weights(
    preset: str, vocabulary: int, leaving_out: tuple[str, ...], count: int
) -> None:
    options = configure(TransformerOptions, PRESETS[preset].options)
    targets = FORMATS["gpt2"].targets(options, vocabulary, 1024)
    shapes = [target.shape for name, target in targets.items() if not name.endswith(leaving_out or ("-",))]
    assert sum(math.prod(shape) for shape in shapes) == count


@pytest.mark.skipif("torch" not in genloom.backend.name(), reason="transformers computes with torch")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_transformers_opens_what_is_published(runs: Callable[[str], Any], name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = publish(runs(name), tmp_path / "out")
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    first = transformers.AutoModelForCausalLM.from_pretrained(PUBLISHED / name, dtype="float32")
    for (key, own), (_, was) in zip(theirs.state_dict().items(), first.state_dict().items(), strict=True):
        assert np.array_equal(own.numpy(), was.numpy()), key
    expected = load_file(PUBLISHED / name / "expected.safetensors")
    x = ops.convert_to_tensor(expected["tokens"])
    assert theirs(x).logits.detach().numpy() == pytest.approx(expected["logits"], abs=1e-5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer("To be", return_tensors="pt").input_ids
    drawn = theirs.generate(prompt, max_length=14, do_sample=False).numpy()
    ours = genloom.sample(runs(name), 1, condition={"prompt": "To be"}, temperature=0.0, post=()).samples
    assert np.array_equal(drawn, ours[:, :14]) and np.array_equal(drawn, expected["greedy"])
