"""`adopt`: from published weights to an ordinary run, which is sampled, loaded and started from like any other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import genloom
from genloom import DataSpec, Run
from genloom.errors import ConfigError, DataError
from genloom.model.naming import variable_names
from genloom.options import configure
from genloom.training import write_run
from genloom_language.options import TransformerOptions
from genloom_language.published.ends import ends_of
from genloom_language.published.files import Tensors, read_config
from genloom_language.published.formats import format_of
from genloom_language.published.target import HEAD, POSITIONS, Target
from genloom_language.tokens import FILE, load_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["adopt"]

_MODEL = "language/transformer"


def adopt(folder: str | Path, out: str | Path, length: int | None = None) -> Run:
    """Make a run of a folder in the format of GPT-2 or Llama: config.json, safetensors, tokenizer.json.

    Weights of 16 bits become float32; the logits are those of the published model.

    Args:
        folder: where the files are.
        out: the run directory, absent or empty.
        length: tokens of a window, the context and one more; by default that of the longest context.

    Returns:
        The run, at step 0 and without data.

    Raises:
        ConfigError: `out` is taken, a length that the context does not have, or a configuration that asks for what
            the transformer does not compute.
        DataError: a file is missing, damaged, or not what the configuration says.
    """
    source = Path(folder)
    config = read_config(source)
    form = format_of(config)
    vocabulary, context = config.whole("vocab_size"), config.whole(form.context)
    length = _checked_length(length, context)
    tokenizer = _tokenizer_of(source, vocabulary)
    options = {**form.options(config), "ends": ends_of(source, config, load_tokenizer(source / FILE))}
    targets = form.targets(configure(TransformerOptions, options), vocabulary, context)
    tensors = Tensors(source, form.prefix)
    tensors.check(targets)
    spec = DataSpec(
        (length,), kind="text", dtype="int32", value_range=None, vocabulary=vocabulary, maximum_length=length
    )
    model = genloom.create(_MODEL, spec, compile=False, **options)
    _fill(model, tensors, targets)
    return write_run(_MODEL, model, out, files={FILE: tokenizer})


def _checked_length(length: int | None, context: int) -> int:
    if length is not None and not 2 <= length <= context + 1:
        raise ConfigError(
            f"length={length} is no window of this model, whose context has {context} tokens.",
            mend=f"Give 2 to {context + 1}: the context and one more.",
        )
    return context + 1 if length is None else length


def _fill(model: Any, tensors: Tensors, targets: Mapping[str, Target]) -> None:
    variables = variable_names(model)
    for name, target in targets.items():
        array = tensors[name]
        array = array.T if target.turned else array
        if target.ours == (POSITIONS,):
            array = _with_unused_row(array, model.length)
        ends = np.cumsum([variables[own].shape[-1] for own in target.ours])[:-1]
        for own, part in zip(target.ours, np.split(array, ends, axis=-1), strict=True):
            variables[own].assign(np.ascontiguousarray(part))
    if HEAD in tensors and HEAD not in targets:
        _check_tied(tensors, model.embedding.embeddings)


def _with_unused_row(positions: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Return the vectors of a window's positions (length, width); that of its last token, only predicted, is 0."""
    return np.pad(positions[: length - 1], ((0, 1), (0, 0)))


def _check_tied(tensors: Tensors, embedding: Any) -> None:
    from keras import ops

    if not np.array_equal(tensors[HEAD], ops.convert_to_numpy(embedding.value)):
        raise DataError(
            f"{HEAD} is not the embedding, although the configuration says that they are tied.",
            mend='Write "tie_word_embeddings": false into config.json if the output layer is one of its own.',
        )


def _tokenizer_of(source: Path, vocabulary: int) -> bytes:
    """Return tokenizer.json as the run keeps it: as it is, or with tokens added up to the model's vocabulary.

    Raises:
        DataError: it is absent, or has tokens that the model does not know.
    """
    file = source / FILE
    if not file.is_file():
        raise DataError(
            f"{str(source)!r} has no {FILE}.",
            mend="transformers writes one: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER).",
        )
    tokenizer = load_tokenizer(file)
    if tokenizer.get_vocab_size() == vocabulary and _is_gapless(tokenizer):
        return file.read_bytes()
    known = tokenizer.get_vocab()
    fillers = (word for number in range(vocabulary) if (word := f"<|unused-{number}|>") not in known)
    missing = vocabulary - tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([next(fillers) for _ in range(missing)])
    if tokenizer.get_vocab_size() != vocabulary or not _is_gapless(tokenizer):
        raise DataError(
            f"{str(file)!r} has {len(known)} tokens up to number {max(known.values(), default=-1)}, which the model's "
            f"{vocabulary} do not fit.",
            mend="Fetch the tokenizer of this very model.",
        )
    return str(tokenizer.to_str()).encode()


def _is_gapless(tokenizer: Tokenizer) -> bool:
    return sorted(tokenizer.get_vocab().values()) == list(range(tokenizer.get_vocab_size()))
