"""The plugin `language`: text, tokenizers and transformers, listed without importing Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genloom import Component, hookimpl
from genloom_language.options import (
    PRESETS,
    CipherOptions,
    DetokeniseOptions,
    JsonlOptions,
    PlayOptions,
    StripOptions,
    TextOptions,
    TransformerOptions,
)

if TYPE_CHECKING:
    from genloom import Run

__all__ = ["genloom_callbacks", "genloom_commands", "genloom_components", "genloom_report_sections"]

_TRAINING = {"clip": 1.0, "validation": 0.1, "post": ("language/detokenise",)}


@hookimpl
def genloom_components() -> list[Component]:
    """Return the model, the sources of text and the post-processors."""
    return [
        Component(
            "model",
            "language/transformer",
            "genloom_language.model:Transformer",
            "Decoder-only transformer that predicts the next token.",
            options=TransformerOptions,
            presets=PRESETS,
            accepts=("text",),
            training=_TRAINING,
        ),
        Component("modality", "language/text", "genloom_language.modality:TEXT", "Texts, as tokens or as words."),
        _source("text", "text:open_text", "text:FILE, any text.", TextOptions, ".txt"),
        _source(
            "jsonl",
            "documents:open_jsonl",
            "jsonl:FILE, documents, prompts or conversations, packed.",
            JsonlOptions,
            ".jsonl",
        ),
        _source(
            "play",
            "text:open_play",
            "The beginning of Shakespeare's Coriolanus, 110,000 letters, embedded.",
            PlayOptions,
        ),
        _source(
            "cipher",
            "cipher:open_cipher",
            "Texts in hidden ciphers, which can be known from the text alone.",
            CipherOptions,
        ),
        Component(
            "postprocessor",
            "language/detokenise",
            "genloom_language.words:detokenise",
            "Turn tokens into text.",
            options=DetokeniseOptions,
            accepts=("text",),
            whole=True,
        ),
        Component(
            "postprocessor",
            "language/strip",
            "genloom_language.words:strip",
            "Take white space off texts, and what follows a stop.",
            options=StripOptions,
            accepts=("text",),
        ),
    ]


def _source(name: str, target: str, summary: str, options: type[Any], *endings: str) -> Component:
    module = f"genloom_language.{target}"
    return Component("dataset", f"language/{name}", module, summary, options=options, endings=endings)


@hookimpl
def genloom_commands() -> dict[str, tuple[str, str]]:
    """Return the commands `chat`, `adopt`, `publish` and `prompt`."""
    return {
        "chat": ("genloom_language.command:chat", "Go on with lines of text, token by token."),
        "adopt": ("genloom_language.published.command:adopt", "Make a run of published weights (GPT-2, Llama)."),
        "publish": ("genloom_language.published.command:publish", "Write a run's weights for other libraries."),
        "prompt": (
            "genloom_language.prompting.command:prompt",
            "Ask the questions of a task, beside what chance scores.",
        ),
    }


@hookimpl
def genloom_callbacks(run: Run) -> list[Any]:
    """Return the callback that draws attention, for transformers that show samples at all."""
    config = run.config
    if config.get("model", {}).get("id") != "language/transformer" or not config.get("training", {}).get(
        "sample_every"
    ):
        return []
    from genloom_language.attention import DrawAttention

    return [DrawAttention(run)]


@hookimpl
def genloom_report_sections(run: Run) -> list[Any]:
    """Return the section on attention, for runs that have its picture."""
    from genloom_language.section import sections

    return sections(run)
