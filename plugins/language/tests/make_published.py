"""Write the small published models that test_published.py reads: `python make_published.py`, with transformers 5.24.0.

Every weight is random and far from its usual start, so that each one, and each epsilon, shows in the logits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

FOLDER = Path(__file__).with_name("published")
LETTERS = "\n ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.,:;!?'-&("  # 64
PROMPT = "To be"


def gpt2(**changes: Any) -> GPT2Config:
    return GPT2Config(
        **{"vocab_size": 64, "n_positions": 14, "n_embd": 18, "n_layer": 2, "n_head": 3, "layer_norm_epsilon": 0.02,
           "bos_token_id": None, "eos_token_id": None, **changes}
    )  # fmt: skip


def llama(**changes: Any) -> LlamaConfig:
    return LlamaConfig(
        **{"vocab_size": 64, "max_position_embeddings": 14, "hidden_size": 24, "intermediate_size": 32,
           "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 0.02,
           "rope_theta": 500.0, "bos_token_id": None, "eos_token_id": None, **changes}
    )  # fmt: skip


def random_model(config: Any, seed: int = 0) -> Any:
    """Return a model of transformers, every weight of which matters."""
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            norm = name.endswith("weight") and weight.ndim == 1
            weight.copy_(1 + 0.3 * noise if norm else 0.3 * noise)
    return model


def tokenizer(opened: bool) -> Tokenizer:
    """Return 64 letters; or 61, a beginning that is put before every text, and an end: one fewer than the model has."""
    letters = {letter: number for number, letter in enumerate(LETTERS[:61] if opened else LETTERS)}
    made = Tokenizer(models.WordLevel(letters, unk_token=""))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("(?m)."), "isolated")
    made.decoder = decoders.Fuse()
    if opened:
        made.add_special_tokens(["<s>", "</s>"])
        made.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 61)])
    return made


def write(name: str, config: Any, opened: bool, kind: torch.dtype = torch.float32, shard: str = "1GB") -> None:
    folder = FOLDER / name
    model = random_model(config).to(kind)
    model.save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    made = tokenizer(opened)
    made.save(str(folder / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = torch.randint(0, 64, (2, 14), generator=torch.Generator().manual_seed(1))
    prompt = torch.tensor([made.encode(PROMPT).ids])
    with torch.no_grad():
        logits = model(tokens).logits
        greedy = model.generate(prompt, max_length=14, do_sample=False)
    found = {"tokens": tokens.int(), "logits": logits.contiguous(), "greedy": greedy.int()}
    save_file(found, folder / "expected.safetensors")


if __name__ == "__main__":
    write("gpt2", gpt2(), opened=False)
    write("gpt2-untied", gpt2(tie_word_embeddings=False, n_inner=20), opened=False, shard="20KB")
    write("llama", llama(), opened=True)
    write("llama-tied", llama(tie_word_embeddings=True, attention_bias=True, mlp_bias=True), opened=True,
          kind=torch.bfloat16)  # fmt: skip
    for file in sorted(FOLDER.rglob("*.json")):
        file.write_text(json.dumps(json.loads(file.read_text("utf-8")), indent=1) + "\n", "utf-8")
