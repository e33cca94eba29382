"""Published folders that cannot be computed, or are broken, are refused by name and leave nothing behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import genloom
from genloom.errors import ConfigError, DataError
from genloom_language.published import adopt

pytestmark = pytest.mark.any_engine

PUBLISHED = Path(__file__).with_name("published")
SPEC = genloom.DataSpec((15,), kind="text", dtype="int32", value_range=None, vocabulary=64)


def broken(folder: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of a published model with another configuration."""
    shutil.copytree(PUBLISHED / name, folder)
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


CONFIGURATIONS: dict[str, tuple[str, dict[str, Any], str]] = {
    "another model": ("gpt2", {"model_type": "bert"}, "of a model 'bert'.*gpt2 and llama"),
    "no key": ("gpt2", {"n_head": None}, "lacks 'n_head'"),
    "no vocabulary": ("llama", {"vocab_size": None}, "lacks 'vocab_size'"),
    "no number": ("gpt2", {"n_layer": "two"}, "n_layer='two', not a positive whole number"),
    "a negative number": ("llama", {"rms_norm_eps": -1.0}, "rms_norm_eps=-1.0, not a positive number"),
    "no truth": ("gpt2", {"tie_word_embeddings": 3}, "tie_word_embeddings=3, not true or false"),
    "the exact GELU": ("gpt2", {"activation_function": "gelu"}, "activation_function='gelu'.*Only 'gelu_new'"),
    "scores by layers": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
    "another activation": ("llama", {"hidden_act": "gelu"}, "hidden_act='gelu'"),
    "some biases": ("llama", {"attention_bias": True}, "mlp_bias=False.*Only True"),
    "wide heads": ("llama", {"head_dim": 12}, "head_dim=12"),
    "scaled positions": ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_type='yarn'"),
    "scaled positions, as before": (
        "llama", {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}}, "type='linear'",
    ),
    "turned in part": ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor=0.5"),
    "fewer bits": ("llama", {"quantization_config": {"bits": 4}}, "quantised"),
    "heads that do not divide": ("gpt2", {"n_head": 4}, "heads=4 must divide"),
    "another width": ("gpt2", {"n_embd": 24}, "'wte.weight'.*shape \\(64, 18\\).*asks for \\(64, 24\\)"),
    "more layers": ("llama", {"num_hidden_layers": 3}, "lacks the tensor 'layers.2.input_layernorm.weight'"),
    "fewer layers": ("gpt2", {"n_layer": 1}, "holds the tensor 'h.1.*no place"),
    "fewer key heads": ("llama", {"num_key_value_heads": 1}, "k_proj.weight"),
    "untied": ("gpt2", {"tie_word_embeddings": False}, "lacks the tensor 'lm_head.weight'"),
    "tied": ("gpt2-untied", {"tie_word_embeddings": True}, "is not the embedding"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_a_configuration_that_cannot_be_computed_is_refused_by_name(case: str, tmp_path: Path) -> None:
    name, values, words = CONFIGURATIONS[case]
    folder = broken(tmp_path / "in", name, lambda config: config.update(values))
    with pytest.raises(ConfigError, match=words) as caught:
        adopt(folder, tmp_path / "run")
    assert caught.value.mend or "divide" in words
    assert not (tmp_path / "run").exists()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def not_finite(file: Path) -> None:
    arrays = load_file(file)
    arrays["transformer.h.0.ln_1.bias"][3] = np.nan
    save_file(arrays, file)


def whole_numbers(file: Path) -> None:
    arrays = load_file(file)
    save_file(arrays | {"transformer.wte.weight": arrays["transformer.wte.weight"].astype("int32")}, file)


FILES: dict[str, tuple[str, str, Callable[[Path], Any], str]] = {
    "no configuration": ("gpt2", "config.json", Path.unlink, "config.json"),
    "a configuration that is no JSON": ("gpt2", "config.json", cut, "config.json.*cannot be read"),
    "a configuration that is a list": ("gpt2", "config.json", lambda f: f.write_text("[]"), "no JSON object"),
    "no tensors": ("gpt2", "model.safetensors", Path.unlink, "neither model.safetensors nor"),
    "tensors cut short": ("gpt2", "model.safetensors", cut, "model.safetensors.*cannot be read"),
    "an empty file": ("gpt2", "model.safetensors", lambda f: f.write_bytes(b""), "cannot be read"),
    "a value that is not finite": ("gpt2", "model.safetensors", not_finite, "ln_1.bias.*not finite"),
    "whole numbers": ("gpt2", "model.safetensors", whole_numbers, "'wte.weight'.*is I32"),
    "no shard": ("gpt2-untied", "model-00002-of-00002.safetensors", Path.unlink, "model-00002.*not there"),
    "a shard elsewhere": (
        "gpt2-untied", "model.safetensors.index.json",
        lambda f: f.write_text('{"weight_map": {"a": "../gpt2/model.safetensors"}}'), "'../gpt2/.*not there",
    ),
    "no map of shards": ("gpt2-untied", "model.safetensors.index.json", lambda f: f.write_text("{}"), "no weight_map"),
    "no tokenizer": ("llama", "tokenizer.json", Path.unlink, "has no tokenizer.json"),
    "no tokenizer in it": ("llama", "tokenizer.json", lambda f: f.write_text("{}"), "cannot be read as a tokenizer"),
    "a larger tokenizer": (
        "gpt2", "tokenizer.json",
        lambda f: f.write_text(f.read_text().replace('"H": 9,', '"H": 9, "+": 64,')), "65 tokens up to number 64",
    ),
    "a tokenizer with gaps": (
        "llama", "tokenizer.json",
        lambda f: f.write_text(f.read_text().replace('"H": 9,', '"H": 9, "+": 70,')), "up to number 7",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_broken_folder_is_refused_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    name, file, damage, words = FILES[case]
    folder = broken(tmp_path / "in", name, lambda config: None)
    damage(folder / file)
    with pytest.raises(ConfigError, match=words):
        adopt(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        adopt(tmp_path / "absent", tmp_path / "run")


def test_ends_that_are_no_tokens_are_refused(tmp_path: Path) -> None:
    changed = broken(tmp_path / "llama", "llama", lambda config: config.update({"eos_token_id": "</s>"}))
    with pytest.raises(DataError, match="eos_token_id='</s>', not whole numbers"):
        adopt(changed, tmp_path / "run")
    with pytest.raises(ConfigError, match="ends=64 is no token of a vocabulary of 64"):
        genloom.create("language/transformer", SPEC, ends=64)
