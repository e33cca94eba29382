"""Text: from tokens to words, and what is left around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import DataSpec, Samples
from genloom.errors import ConfigError
from genloom.postprocess import Origin
from genloom_post.options import DetokeniseOptions, StripOptions

__all__ = ["detokenise", "is_words", "strip"]


def detokenise(samples: Samples, options: DetokeniseOptions, origin: Origin) -> Samples:
    """Turn tokens (n, length) into one string per sample (n, 1), by the run's tokenizer or the one of a file.

    Raises:
        ConfigError: samples that are no tokens, no tokenizer, or one that knows fewer tokens than the data.
    """
    tokens, spec = samples.samples, samples.spec
    if not np.issubdtype(tokens.dtype, np.integer) or tokens.ndim != 2:
        raise ConfigError(f"detokenise takes tokens (n, length), got {tokens.dtype} of shape {tokens.shape}.")
    tokenizer = _tokenizer(options, origin)
    known = tokenizer.get_vocab_size(with_added_tokens=True)
    if known < spec.vocabulary:
        raise ConfigError(f"The tokenizer knows {known} tokens, the data have {spec.vocabulary}.")
    texts = [tokenizer.decode(row, skip_special_tokens=options.skip_special) for row in tokens.tolist()]
    words = spec.replace(shape=(1,), dtype="str", value_range=None, vocabulary=0, maximum_length=0)
    return samples.replace(samples=np.array(texts)[:, None], spec=words)


def strip(samples: NDArray[Any], spec: DataSpec, options: StripOptions) -> tuple[NDArray[Any], DataSpec]:
    """Cut texts (n, 1) where `stop` begins, and take white space off both ends.

    Raises:
        ConfigError: tokens in place of text.
    """
    if not is_words(samples):
        raise ConfigError("strip takes text, got tokens.", mend="Put post/detokenise before it.")
    texts = [str(text) for text in samples[:, 0]]
    if options.stop:
        texts = [text.partition(options.stop)[0] for text in texts]
    return np.array([text.strip() for text in texts])[:, None], spec


def is_words(samples: NDArray[Any]) -> bool:
    """Say whether samples are strings."""
    return samples.dtype.kind == "U"


def _tokenizer(options: DetokeniseOptions, origin: Origin) -> Any:
    """Read a tokenizer in the format of Hugging Face's library `tokenizers`."""
    from tokenizers import Tokenizer

    kept = None if origin.run is None else Path(origin.run.path) / "tokenizer.json"
    file = Path(options.tokenizer) if options.tokenizer else kept
    if file is None or not file.is_file():
        raise ConfigError(
            f"There is no tokenizer{'' if file is None else f' at {str(file)!r}'}.",
            mend="Write tokenizer=FILE, a tokenizer.json.",
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # what the library raises is the plain Exception
        raise ConfigError(f"{str(file)!r} cannot be read as a tokenizer: {error}.") from error
