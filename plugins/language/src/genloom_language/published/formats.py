"""The formats of published weights as a table, and which of them a configuration or a model has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from genloom.errors import ConfigError, nearest
from genloom_language.options import TransformerOptions
from genloom_language.published import gpt2, llama
from genloom_language.published.config import Config
from genloom_language.published.target import Target

__all__ = ["FORMATS", "Format", "counterpart", "format_of"]


@dataclasses.dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: "model_type" of its configurations.
        architecture: class of transformers that opens it.
        prefix: what the names of all tensors but `HEAD` begin with; files of the bare network leave it out.
        context: key of a configuration with the tokens of the longest context.
        counterpart: options that a model has to have to be written in it.
        options: from a configuration to our options, by name.
        keys: from our options to what a configuration says of them.
        targets: (options, vocabulary, context) → where the tensors belong, by their names without the prefix.
    """

    name: str
    architecture: str
    prefix: str
    context: str
    counterpart: Mapping[str, Any]
    options: Callable[[Config], dict[str, Any]]
    keys: Callable[[TransformerOptions], dict[str, Any]]
    targets: Callable[[TransformerOptions, int, int], dict[str, Target]]


#: "model_type" of a configuration → its format.
FORMATS = {
    "gpt2": Format(
        "gpt2",
        "GPT2LMHeadModel",
        "transformer.",
        "n_positions",
        {"norm": "layer", "activation": "gelu", "kv_heads": None},
        gpt2.options,
        gpt2.keys,
        gpt2.targets,
    ),
    "llama": Format(
        "llama",
        "LlamaForCausalLM",
        "model.",
        "max_position_embeddings",
        {"norm": "rms", "activation": "swiglu"},
        llama.options,
        llama.keys,
        llama.targets,
    ),
}


def format_of(config: Config) -> Format:
    """Return the format of a configuration.

    Raises:
        ConfigError: another model, or weights of fewer bits.
    """
    found = config.values.get("model_type")
    if found not in FORMATS:
        raise ConfigError(
            f"{config.file} is of a model {found!r}.{nearest(str(found), FORMATS)}",
            mend=f"Weights of {' and '.join(FORMATS)} can be read.",
        )
    if "quantization_config" in config.values:
        raise ConfigError(f"{config.file} is of quantised weights.", mend="Fetch those of 16 or 32 bits.")
    return FORMATS[found]


def counterpart(o: TransformerOptions) -> Format:
    """Return the format that a model can be written in.

    Raises:
        ConfigError: names the option that its nearest format does not have.
    """
    found = FORMATS["llama" if o.position == "rotary" else "gpt2"]
    values = dataclasses.asdict(o) | {"kv_heads": o.kv_heads or o.heads}
    for name, wanted in found.counterpart.items():
        wanted = o.heads if name == "kv_heads" else wanted
        if values[name] != wanted:
            raise ConfigError(
                f"A model with position={o.position!r} is written as {found.name}, which has no {name}={values[name]}.",
                mend=f"Train one with {name}={wanted}.",
            )
    return found
