"""Llama (Touvron et al. 2023), as the library transformers writes it: kernels (outputs, inputs)."""

from __future__ import annotations

from typing import Any

from genloom_language.options import TransformerOptions
from genloom_language.published.config import Config
from genloom_language.published.target import Target, head

__all__ = ["keys", "options", "targets"]


def options(config: Config) -> dict[str, Any]:
    """Return the options of a configuration, by name.

    Raises:
        ConfigError: a value that cannot be read, or that no model here computes.
    """
    turning = config.table("rope_parameters" if "rope_parameters" in config.values else "rope_scaling")
    for key in ("rope_type", "type"):
        turning.only(key, "default")
    turning.only("partial_rotary_factor", 1)
    bias, other = config.flag("attention_bias", False), config.flag("mlp_bias", False)
    if other != bias:
        raise config.refused("mlp_bias", other, bias)
    config.only("hidden_act", "silu", "swish")
    heads, width = config.whole("num_attention_heads"), config.whole("hidden_size")
    config.only("head_dim", width // heads)
    return {
        "layers": config.whole("num_hidden_layers"),
        "heads": heads,
        "kv_heads": config.whole("num_key_value_heads", heads),
        "width": width,
        "mlp_width": config.whole("intermediate_size"),
        "position": "rotary",
        "rotary_base": turning.number("rope_theta", config.number("rope_theta", 1e4)),
        "norm": "rms",
        "epsilon": config.number("rms_norm_eps", 1e-6),
        "activation": "swiglu",
        "bias": bias,
        "tied": config.flag("tie_word_embeddings", False),
    }


def keys(o: TransformerOptions) -> dict[str, Any]:
    """Return what a configuration says of a model's options."""
    return {
        "num_hidden_layers": o.layers,
        "num_attention_heads": o.heads,
        "num_key_value_heads": o.kv_heads or o.heads,
        "head_dim": o.width // o.heads,
        "hidden_size": o.width,
        "intermediate_size": o.mlp_width or 4 * o.width,
        "hidden_act": "silu",
        "rms_norm_eps": o.epsilon,
        "rope_theta": o.rotary_base,  # where transformers 4 looks for it
        "rope_parameters": {"rope_type": "default", "rope_theta": o.rotary_base},
        "attention_bias": o.bias,
        "mlp_bias": o.bias,
        "tie_word_embeddings": o.tied,
    }


def targets(o: TransformerOptions, vocabulary: int, context: int) -> dict[str, Target]:
    """Return where the tensors belong, by their names without the prefix."""
    inner, shared = o.mlp_width or 4 * o.width, (o.kv_heads or o.heads) * (o.width // o.heads)

    def norm(name: str, ours: str) -> dict[str, Target]:
        return {f"{name}.weight": Target((f"{ours}/scale",), (o.width,))}

    def linear(name: str, ours: str, inputs: int, outputs: int) -> dict[str, Target]:
        bias = {f"{name}.bias": Target((f"{ours}/bias",), (outputs,))} if o.bias else {}
        return {f"{name}.weight": Target((f"{ours}/kernel",), (outputs, inputs), turned=True), **bias}

    found = {
        "embed_tokens.weight": Target(("embedding/embeddings",), (vocabulary, o.width)),
        **norm("norm", "norm"),
    }
    for i in range(o.layers):
        theirs, own = f"layers.{i}", f"blocks/{i}"
        found |= norm(f"{theirs}.input_layernorm", f"{own}/attention_norm")
        found |= norm(f"{theirs}.post_attention_layernorm", f"{own}/network_norm")
        for name, layer, inputs, outputs in (
            ("self_attn.q_proj", "query", o.width, o.width),
            ("self_attn.k_proj", "key", o.width, shared),
            ("self_attn.v_proj", "value", o.width, shared),
            ("self_attn.o_proj", "mix", o.width, o.width),
            ("mlp.gate_proj", "gate", o.width, inner),
            ("mlp.up_proj", "up", o.width, inner),
            ("mlp.down_proj", "down", inner, o.width),
        ):
            found |= linear(f"{theirs}.{name}", f"{own}/{layer}", inputs, outputs)
    return found | head(o, vocabulary)
