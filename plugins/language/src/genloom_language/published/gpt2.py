"""GPT-2 (Radford et al. 2019), as the library transformers writes it: kernels (inputs, outputs), q, k and v in one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from genloom_language.options import TransformerOptions
from genloom_language.published.config import Config
from genloom_language.published.target import POSITIONS, Target, head

__all__ = ["keys", "options", "targets"]


def options(config: Config) -> dict[str, Any]:
    """Return the options of a configuration, by name.

    Raises:
        ConfigError: a value that cannot be read, or that no model here computes.
    """
    config.only("activation_function", "gelu_new", "gelu_pytorch_tanh")
    config.only("scale_attn_weights", True)
    config.only("scale_attn_by_inverse_layer_idx", False)
    config.only("add_cross_attention", False)
    return {
        "layers": config.whole("n_layer"),
        "heads": config.whole("n_head"),
        "width": config.whole("n_embd"),
        "mlp_width": config.whole("n_inner", 0),
        "position": "learned",
        "norm": "layer",
        "activation": "gelu",
        "epsilon": config.number("layer_norm_epsilon", 1e-5),
        "bias": True,
        "tied": config.flag("tie_word_embeddings", True),
    }


def keys(o: TransformerOptions) -> dict[str, Any]:
    """Return what a configuration says of a model's options."""
    return {
        "n_layer": o.layers,
        "n_head": o.heads,
        "n_embd": o.width,
        "n_inner": o.mlp_width or None,  # null: four times the width, as here
        "activation_function": "gelu_new",
        "layer_norm_epsilon": o.epsilon,
        "resid_pdrop": o.dropout,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "tie_word_embeddings": o.tied,
    }


def targets(o: TransformerOptions, vocabulary: int, context: int) -> dict[str, Target]:
    """Return where the tensors belong, by their names without the prefix."""
    inner = o.mlp_width or 4 * o.width

    def norm(name: str, ours: str) -> dict[str, Target]:
        parts = {"weight": "scale", "bias": "shift"}
        return {f"{name}.{part}": Target((f"{ours}/{own}",), (o.width,)) for part, own in parts.items()}

    def linear(name: str, ours: Iterable[str], inputs: int, outputs: int) -> dict[str, Target]:
        kernels, biases = (tuple(f"{layer}/{part}" for layer in ours) for part in ("kernel", "bias"))
        return {f"{name}.weight": Target(kernels, (inputs, outputs)), f"{name}.bias": Target(biases, (outputs,))}

    found = {
        "wte.weight": Target(("embedding/embeddings",), (vocabulary, o.width)),
        "wpe.weight": Target((POSITIONS,), (context, o.width)),
        **norm("ln_f", "norm"),
    }
    for i in range(o.layers):
        theirs, own = f"h.{i}", f"blocks/{i}"
        heads = [f"{own}/{name}" for name in ("query", "key", "value")]
        found |= norm(f"{theirs}.ln_1", f"{own}/attention_norm") | norm(f"{theirs}.ln_2", f"{own}/network_norm")
        found |= linear(f"{theirs}.attn.c_attn", heads, o.width, 3 * o.width)
        found |= linear(f"{theirs}.attn.c_proj", [f"{own}/mix"], o.width, o.width)
        found |= linear(f"{theirs}.mlp.c_fc", [f"{own}/up"], o.width, inner)
        found |= linear(f"{theirs}.mlp.c_proj", [f"{own}/down"], inner, o.width)
    return found | head(o, vocabulary)
