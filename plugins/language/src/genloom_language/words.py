"""Text: from tokens to words, and what is left around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genloom import DataSpec, Samples
from genloom.errors import ConfigError
from genloom.postprocess import Origin
from genloom_language.ending import NOTHING, written
from genloom_language.options import DetokeniseOptions, StripOptions
from genloom_language.tokens import load_tokenizer, tokenizer_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["detokenise", "strip"]


def detokenise(samples: Samples, options: DetokeniseOptions, origin: Origin) -> Samples:
    """Turn tokens (n, length) into one string per sample (n, 1), by the run's tokenizer or the one of a file.

    Places that hold `NOTHING` are left out.

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
    rows = ([token for token in row if token != NOTHING] for row in tokens.tolist())
    texts = [tokenizer.decode(row, skip_special_tokens=options.skip_special) for row in rows]
    words = spec.replace(shape=(1,), dtype="str", value_range=None, vocabulary=0, maximum_length=0)
    return samples.replace(samples=np.array(texts)[:, None], spec=words)


def strip(samples: NDArray[Any], spec: DataSpec, options: StripOptions) -> tuple[NDArray[Any], DataSpec]:
    r"""Cut texts (n, 1) where `stop` begins, \n in it for a line's end, and take white space off both ends.

    Raises:
        ConfigError: tokens in place of text.
    """
    if samples.dtype.kind != "U":
        raise ConfigError("strip takes text, got tokens.", mend="Put detokenise before it.")
    texts = [str(text) for text in samples[:, 0]]
    if options.stop:
        texts = [text.partition(written(options.stop))[0] for text in texts]
    return np.array([text.strip() for text in texts])[:, None], spec


def _tokenizer(options: DetokeniseOptions, origin: Origin) -> Tokenizer:
    if options.tokenizer:
        return load_tokenizer(options.tokenizer)
    if origin.run is None:
        raise ConfigError("It is not known which tokenizer made these tokens.", mend="Write tokenizer=FILE.")
    return tokenizer_of(origin.run)
