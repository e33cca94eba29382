"""Options of the plugin, light enough to list without Keras."""

from __future__ import annotations

import dataclasses

from genloom import Preset
from genloom.options import option

__all__ = [
    "PRESETS",
    "CipherOptions",
    "DetokeniseOptions",
    "JsonlOptions",
    "PlayOptions",
    "StripOptions",
    "TextOptions",
    "TransformerOptions",
]


_TOKENIZERS = "how text is cut into tokens: char, byte, bpe, or a tokenizer.json, such as a run's"


@dataclasses.dataclass(frozen=True)
class TokenOptions:
    """What every source of text can be asked."""

    tokenizer: str = option("char", _TOKENIZERS)
    vocabulary: int = option(1024, "tokens of a bpe tokenizer, 256 of which are the bytes", minimum=257)


@dataclasses.dataclass(frozen=True)
class PlayOptions(TokenOptions):
    """Options of `play`."""

    length: int = option(65, "tokens of one sample: a model's context and one more", minimum=2)
    stride: int = option(1, "tokens between the beginnings of two training samples", minimum=1)
    test: float = option(0.1, "share of the text held out, from its end", minimum=0.001, maximum=0.9)


@dataclasses.dataclass(frozen=True)
class TextOptions(PlayOptions):
    """Options of `text:FILE`."""


@dataclasses.dataclass(frozen=True)
class JsonlOptions(TokenOptions):
    """Options of `jsonl:FILE`."""

    tokenizer: str = option("byte", _TOKENIZERS)
    length: int = option(257, "tokens of a window: a model's context and one more", minimum=2)
    test: float = option(0.1, "share of the lines held out, evenly", minimum=0.001, maximum=0.5)


@dataclasses.dataclass(frozen=True)
class CipherOptions:
    """Options of `cipher`."""

    symbols: int = option(16, "letters, and as many codes", minimum=4, maximum=26)
    pairs: int = option(34, "letters with their codes in a window", minimum=2)
    n: int = option(65_536, "windows to train on", minimum=2)
    seed: int = option(0, "fixes all texts", minimum=0, maximum=2**63 - 1)


@dataclasses.dataclass(frozen=True)
class TransformerOptions:
    """Options of `language/transformer`."""

    layers: int = option(4, "transformer blocks", minimum=1)
    heads: int = option(4, "heads of queries, which divide the width", minimum=1)
    kv_heads: int = option(
        0, "heads of keys and values, which divide the heads (Ainslie et al. 2023); 0: as many", minimum=0
    )
    width: int = option(128, "size of a token's vector", minimum=2)
    mlp_width: int = option(0, "units between the two layers of a block's network; 0: four times the width", minimum=0)
    position: str = option("learned", "learned vectors, or rotary (Su et al. 2021)", choices=("learned", "rotary"))
    rotary_base: float = option(1e4, "base of the rates by which rotary positions turn pairs", minimum=1.0)
    norm: str = option("layer", "LayerNorm, or RMSNorm (Zhang and Sennrich 2019)", choices=("layer", "rms"))
    epsilon: float = option(1e-5, "added to the variance in norms", minimum=0.0)
    activation: str = option("gelu", "of a block's network; swiglu is gated (Shazeer 2020)", choices=("gelu", "swiglu"))
    bias: bool = option(False, "whether layers and norms add a bias")
    tied: bool = option(True, "whether the output layer is the embedding's transpose (Press and Wolf 2017)")
    initializer_range: float = option(
        0.02, "deviation of initial matrices; GPT-2's, for its width of 768: 1/√width suits small ones", minimum=0.0
    )
    ends: tuple[int, ...] = option(
        (), "tokens that end a text, beside <|end|>; an adopted model's are its configuration's", minimum=0
    )
    dropout: float = option(0.0, "share of units left out in training", minimum=0.0, maximum=0.9)
    remat: bool = option(False, "whether the backward pass computes each block again, to hold less memory")
    learning_rate: float = option(1e-3, "step size of AdamW", minimum=0.0)
    weight_decay: float = option(0.1, "decoupled decay of matrices", minimum=0.0)


@dataclasses.dataclass(frozen=True)
class DetokeniseOptions:
    """Options of `detokenise`."""

    tokenizer: str = option("", "file of a tokenizer, in the format of tokenizers; the run's own when empty")
    skip_special: bool = option(True, "leave out special tokens, such as the end of text")


@dataclasses.dataclass(frozen=True)
class StripOptions:
    """Options of `strip`."""

    stop: str = option("", "text ends where this begins; nothing is cut when empty")


#: Preset → its options and training settings.
PRESETS: dict[str, Preset] = {
    "tiny": Preset({"layers": 2, "heads": 2, "width": 64},
        {"steps": 500, "batch_size": 16, "schedule": "cosine", "warmup_steps": 50}),
    # The shape, batch and steps of nanoGPT's CPU configuration, at three times its rate and with a cosine to zero.
    "nano-cpu": Preset({"layers": 4, "heads": 4, "width": 128, "learning_rate": 3e-3},
        {"steps": 2000, "batch_size": 12, "schedule": "cosine", "warmup_steps": 100}),
    # nanoGPT's GPU configuration for characters, with a cosine to zero. Its context of 256 tokens is the data's to set:
    # length=257.
    "nano-gpu": Preset({"layers": 6, "heads": 6, "width": 384, "dropout": 0.2, "learning_rate": 1e-3},
        {"steps": 5000, "batch_size": 64, "schedule": "cosine", "warmup_steps": 100}),
    # The two smaller shapes of GPT-2 (Radford et al. 2019, table 2); its context of 1,024 tokens is the data's to set:
    # length=1025. The rates are those of these shapes in Brown et al. 2020, table 2.1.
    "gpt2-small": Preset({"layers": 12, "heads": 12, "width": 768, "bias": True, "learning_rate": 6e-4},
        {"schedule": "cosine"}),
    "gpt2-medium": Preset({"layers": 24, "heads": 16, "width": 1024, "bias": True, "learning_rate": 3e-4},
        {"schedule": "cosine"}),
    # A Llama (Touvron et al. 2023) of GPT-2's small shape; the context is the data's to set, such as length=1025.
    "llama-small": Preset({
            "layers": 12, "heads": 12, "kv_heads": 4, "width": 768, "mlp_width": 2048, "position": "rotary",
            "norm": "rms", "activation": "swiglu", "learning_rate": 6e-4,
        },
        {"schedule": "cosine"}),
    # Learns to look up what stood after a token before. From weights of 0.02 it does not in as many steps.
    "lookup": Preset({
            "layers": 2,
            "heads": 2,
            "width": 64,
            "position": "rotary",
            "initializer_range": 0.16,
            "learning_rate": 1e-3,
            "weight_decay": 0.0,
        },
        {"steps": 5000, "batch_size": 32, "schedule": "wsd", "warmup_steps": 100}),
}  # fmt: skip
