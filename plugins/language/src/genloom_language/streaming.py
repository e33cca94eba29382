"""Text token by token, as it is drawn: what `genloom chat` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from genloom import backend, random
from genloom_language.choosing import Rules
from genloom_language.decoding import decode, init_state
from genloom_language.tokens import opening

if TYPE_CHECKING:
    from genloom_language.model import Transformer

__all__ = ["Stream"]

_HALF_A_LETTER = "\N{REPLACEMENT CHARACTER}"  # what bytes decode to that are not a whole character yet


class Stream:
    """Goes on with a prompt for as long as it is asked, with the tokens that `genloom.sample` draws.

    When the context is full, its second half becomes the beginning of the next one.

    Args:
        model: an opened transformer with its tokenizer.
        rules: how tokens are chosen.
        seed: of the draws.
    """

    def __init__(self, model: Transformer, rules: Rules, seed: int = 0) -> None:
        self.model, self.seed = model, seed
        self._begin = backend.compiled(lambda *given: init_state(model, *given), model)
        self._next = backend.compiled(lambda *state: decode(model, state, rules, 1), model)

    def __call__(self, prompt: str, most: int) -> Iterator[str]:
        """Yield pieces of text after the prompt, of `most` tokens in all.

        Raises:
            ConfigError: a prompt that is too long, or that the tokenizer cannot read.
        """
        arrays = self.model.read_condition({"prompt": prompt}, 1)
        tokens, given = np.array(arrays["tokens"]), int(arrays["given"][0])
        # What a token says is known behind those before it only: of a text's first one many leave out the space.
        ids: list[int] = tokens[0, :given].tolist()
        told = self.model.tokenizer.decode(ids)
        for token in self._tokens(tokens, given, most):
            ids.append(token)
            text = self.model.tokenizer.decode(ids)
            if not text.endswith(_HALF_A_LETTER) and len(text) > len(told):
                yield text[len(told) :]
                told = text
        if left := self.model.tokenizer.decode(ids)[len(told) :]:
            yield left  # bytes that no others made a letter of

    def _tokens(self, tokens: np.ndarray[Any, Any], given: int, most: int) -> Iterator[int]:
        first, half = len(opening(self.model.tokenizer)), self.model.length // 2
        window = 0
        while most > 0:
            for token in self._window(tokens, given, window):
                if token in self.model.ends:
                    return
                yield token
                most -= 1
                if most == 0:
                    return
                tokens[0, given] = token
                given += 1
            # What a tokenizer puts before every text stays there.
            tokens[0, first : given - half] = tokens[0, half + first : given].copy()
            given, window = given - half, window + 1

    def _window(self, tokens: np.ndarray[Any, Any], given: int, window: int) -> Iterator[int]:
        """Yield the tokens that follow until the context is full."""
        state = self._begin(
            ops.convert_to_tensor(tokens), np.full(1, given, np.int32), random.keys(self.seed + window, 1)
        )
        for place in range(given, self.model.length):
            state = self._next(*state)
            yield int(ops.convert_to_numpy(state[0])[0, place])
