"""A decoder-only transformer: every token is predicted from those before it (Radford et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import keras
import numpy as np
from keras import ops

from genloom.data import DataSpec
from genloom.errors import ConfigError, DataError
from genloom.model import GenerativeModel, Phase
from genloom_language.beams import beam_search, check_beams
from genloom_language.blocks import Block, Norm, causal
from genloom_language.choosing import Rules
from genloom_language.decoding import decode, init_state, steps_left
from genloom_language.ending import NOTHING, until, written
from genloom_language.options import TransformerOptions
from genloom_language.prompts import new_prompt
from genloom_language.tokens import FILE, SPECIAL, encode, first_token, opening, tokenizer_of

__all__ = ["Transformer"]


class Transformer(GenerativeModel):
    """p(x) = Π_t p(x_t | x_<t), trained to predict the next token at every position of a window.

    Args:
        spec: text of `spec.shape[0]` tokens; a window's last token is only predicted, so the context is one less.
        options: an instance of `Options`, or None.
        seed: seed of initial weights and of dropout.
        noise: "native" or "portable" training noise.
        **values: option values by name.

    Raises:
        ConfigError: data without a vocabulary, heads that do not divide, or an unknown option.
    """

    Options: ClassVar[type] = TransformerOptions
    validation: ClassVar[tuple[str, ...]] = ("loss", "nats_per_char")
    conditional = False
    conditions = ("tokens", "given")

    def __init__(
        self,
        spec: DataSpec,
        options: Any = None,
        *,
        seed: int = 0,
        noise: Literal["native", "portable"] = "native",
        **values: Any,
    ) -> None:
        super().__init__(spec, options, seed=seed, noise=noise, **values)
        o = self.options
        self.start = 0
        self.tokenizer: Any = None
        if not spec.vocabulary or len(spec.shape) != 1:
            raise ConfigError(f"A transformer needs tokens with a vocabulary, got {spec.kind} of shape {spec.shape}.")
        _check_heads(o)
        if beyond := [end for end in o.ends if end >= spec.vocabulary]:
            raise ConfigError(f"ends={beyond[0]} is no token of a vocabulary of {spec.vocabulary}.")
        self.embedding = keras.layers.Embedding(spec.vocabulary, o.width, embeddings_initializer=_normal(o))
        self.embedding.build((None,))
        self.position_embedding: Any = None
        if o.position == "learned":
            self.position_embedding = keras.layers.Embedding(self.length, o.width, embeddings_initializer=_normal(o))
            self.position_embedding.build((None,))
        self.blocks = [Block(o, name=f"block_{index}") for index in range(o.layers)]
        self.norm = Norm(o.norm, o.width, o.bias, o.epsilon, name="norm")
        self.out: Any = None
        if not o.tied:
            self.out = keras.layers.Dense(spec.vocabulary, use_bias=False, kernel_initializer=_normal(o))
            self.out.build((None, o.width))

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens after each of which a text holds no other: the tokenizer's <|end|>, if any, and those of options.

        What follows one reads as the first of them.
        """
        own = None if self.tokenizer is None else self.tokenizer.token_to_id(SPECIAL["end"])
        return tuple(dict.fromkeys((() if own is None else (own,)) + self.options.ends))

    @property
    def length(self) -> int:
        """Tokens of a window."""
        return int(self.spec.shape[0])

    # Training.

    def default_optimizers(self) -> Any:
        """Return AdamW, whose decay leaves the vectors of norms and biases alone."""
        optimizer = keras.optimizers.AdamW(
            self.options.learning_rate, weight_decay=self.options.weight_decay, beta_1=0.9, beta_2=0.99
        )
        vectors = [v for v in self.trainable_variables if len(v.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=vectors)
        return optimizer

    def hidden_matrices(self) -> list[keras.Variable]:
        """Return the blocks' kernels; embeddings and the output layer are none of Muon's (Jordan et al. 2024)."""
        return [v for block in self.blocks for v in block.trainable_variables if v.name == "kernel"]

    def phases(self) -> list[Phase]:
        """Return the one phase `next_token`."""
        return [Phase("next_token", lambda: self.trainable_variables, self.loss_of, metrics=("nats_per_char",))]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], float]:
        """Return the mean of -log p(x_t | x_<t) over the tokens that count, in nats; its weight is how many they are.

        Args:
            batch: "x" int32 (n, length); of packed data "document", "position" and "weight" too (see `Packed`).
        """
        nats, weight = self._weighted(batch, training=True)
        count = ops.sum(weight)
        loss = ops.sum(nats * weight) / ops.maximum(count, 1.0)
        return loss, {"nats_per_char": loss / self.characters_per_token}, count

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return held-out nats per token and per character, each (n,)."""
        each, weight = self._weighted(batch)
        nats = ops.sum(each * weight, axis=1) / ops.maximum(ops.sum(weight, axis=1), 1.0)
        return {"loss": nats, "nats_per_char": nats / self.characters_per_token}

    def validation_weights(self, batch: dict[str, Any]) -> Any:
        """Return how many tokens of each row count (n,): the mean is one of tokens, not of rows."""
        return ops.sum(self._weight(batch), axis=1)

    @property
    def characters_per_token(self) -> float:
        """By which losses of different tokenizers compare; 1 where the data does not say."""
        return float(self.spec.rate or 1.0)

    def distillation_loss(self, batch: dict[str, Any], teacher: Any, temperature: float) -> Any:
        """Return T² Σ p log(p / q) of the teacher's tokens p and this model's q, a mean over the tokens that count.

        Both distributions are taken at temperature T (Hinton et al. 2015; Li and Hoiem 2017, equation 2).
        """
        inside = [None if batch.get(name) is None else batch[name][:, :-1] for name in ("document", "position")]
        x = ops.cast(batch["x"], "int32")[:, :-1]
        q = ops.log_softmax(self.logits(x, True, *inside) / temperature)
        p = ops.log_softmax(ops.stop_gradient(teacher.logits(x, False, *inside)) / temperature)
        each = ops.sum(ops.exp(p) * (p - q), axis=-1)
        weight = ops.cast(self._weight(batch), each.dtype)
        return temperature**2 * ops.sum(each * weight) / ops.maximum(ops.sum(weight), 1.0)

    # Use.

    def attach(self, run: Any) -> None:
        """Read the run's tokenizer; samples then begin with a line's end where it knows one."""
        if (Path(run.path) / FILE).is_file():
            self.tokenizer = tokenizer_of(run)
            self.start = first_token(self.tokenizer)

    def read_condition(self, given: Mapping[str, Any], n: int) -> Mapping[str, Any]:
        """Turn "prompt", a text or n of them, into "tokens" (n, length) and "given" (n,).

        Raises:
            ConfigError: no tokenizer, a prompt longer than the context, or with a character that it does not know.
        """
        if "prompt" not in given:
            return given
        if self.tokenizer is None:
            raise ConfigError("This model has no tokenizer to read a prompt with.", mend='Give "tokens" and "given".')
        rest = {name: value for name, value in given.items() if name != "prompt"}
        texts = np.broadcast_to(np.asarray(given["prompt"], dtype=object), (n,))
        tokens = np.full((n, self.length), self.start, np.int32)
        counts = np.zeros(n, np.int32)
        for row, text in enumerate(texts):
            ids = self._prompt(str(text))
            tokens[row, : len(ids)], counts[row] = ids, len(ids)
        return {**rest, "tokens": tokens, "given": counts}

    def _prompt(self, text: str) -> Any:
        try:
            ids = [*opening(self.tokenizer), *encode(self.tokenizer, text)]
        except DataError as error:
            raise ConfigError(f"The prompt cannot be read: {error}") from error
        if not 0 < len(ids) < self.length:
            raise ConfigError(
                f"The prompt {text[:40]!r} has {len(ids)} tokens; this model takes 1 to {self.length - 1}.",
                mend="Shorten it, or train on a larger length.",
            )
        return ids

    def logits(self, x: Any, training: bool = False, document: Any = None, position: Any = None) -> Any:
        """Return logits (n, t, vocabulary) of the token after each of x (n, t).

        Args:
            x: int32 tokens.
            training: whether units are left out.
            document: int32 (n, t): a token sees those of its own document only; None for one document.
            position: int32 (n, t), the tokens' positions in their documents; None for one document.
        """
        n, t = int(x.shape[0]), int(x.shape[1])
        if position is None:
            position = _positions(n, t)
        hidden = self._embedded(x, position)
        seen = None if document is None else _seen_within(document, t)
        for block, memory in zip(self.blocks, self._memories(), strict=True):
            hidden = block(hidden, position, seen, memory, training=training)
        return self._read(hidden)

    def attention(self, x: Any) -> Any:
        """Return how much each token looks at each in every head: float32 (n, layers, heads, t, m + t), rows sum to 1.

        Before the t tokens come the m vectors of a learned prompt; m is 0 without one. Weights of later tokens are 0.

        Args:
            x: int32 tokens (n, t), t at most the context.
        """
        x = ops.convert_to_tensor(x)
        position = _positions(int(x.shape[0]), int(x.shape[1]))
        hidden, found = self._embedded(x, position), []
        for block, memory in zip(self.blocks, self._memories(), strict=True):
            found.append(block.weights_of(hidden, position, memory))
            hidden = block(hidden, position, None, memory)
        return ops.stack(found, axis=1)

    def _embedded(self, x: Any, position: Any) -> Any:
        hidden = self.embedding(ops.cast(x, "int32"))
        return hidden if self.position_embedding is None else hidden + self.position_embedding(position)

    def nats(self, x: Any, training: bool = False, document: Any = None, position: Any = None) -> Any:
        """Return -log p(x_t | x_<t) (n, t - 1) of all tokens but the first of x (n, t); the rest as for `logits`."""
        x = ops.cast(ops.convert_to_tensor(x), "int32")
        inside = [None if part is None else part[:, :-1] for part in (document, position)]
        logits = self.logits(x[:, :-1], training, *inside)
        rows = ops.reshape(logits, (-1, self.spec.vocabulary))  # torch would copy what has more axes
        nats = ops.sparse_categorical_crossentropy(ops.reshape(x[:, 1:], (-1,)), rows, from_logits=True)
        return ops.reshape(nats, logits.shape[:2])

    def _weighted(self, batch: dict[str, Any], training: bool = False) -> tuple[Any, Any]:
        """Return -log p and the weight of every token but the first, each (n, length - 1)."""
        nats = self.nats(batch["x"], training, batch.get("document"), batch.get("position"))
        return nats, ops.cast(self._weight(batch), nats.dtype)

    def _weight(self, batch: dict[str, Any]) -> Any:
        """Return the weight of every token but the first (n, length - 1), float32."""
        if batch.get("weight") is None:
            n, length = batch["x"].shape
            return ops.ones((int(n), int(length) - 1), "float32")
        return ops.cast(batch["weight"], "float32")[:, 1:]

    def log_prob(self, x: Any) -> Any:
        """Return log p(x_2 … x_T | x_1) (n,) in nats, for tokens (n, T)."""
        return -ops.sum(self.nats(x), axis=1)

    def draw(
        self,
        keys: Any,
        condition: dict[str, Any],
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical: float = 1.0,
        repetition: float = 1.0,
        cache: bool = True,
        max_tokens: int = 0,
        stop: str = "",
        beams: int = 1,
        length_penalty: float = 0.0,
    ) -> Any:
        """Return tokens (n, length), drawn one after the other; after the end token, where there is one, only that.

        Args:
            keys: (n, 2).
            condition: "tokens" int32 (n, length) to begin with, of which the first "given" (n,) count; without, a
                sample begins with token `start`.
            temperature: this and what follows: see `Rules`.
            top_k: likeliest tokens that may be drawn, 0 for all.
            top_p: probability of the likeliest tokens that may be drawn.
            min_p: least probability, as a share of the likeliest token's.
            typical: probability of the most typical tokens that may be drawn.
            repetition: penalty of tokens that occurred already, 1 for none.
            cache: keep keys and values of earlier tokens; without, all are computed again at every step.
            max_tokens: most that are drawn, `NOTHING` after them; 0 for as many as the context holds.
            stop: where a text ends; see `finish`.
            beams: texts that are searched for the likeliest one; 1 draws.
            length_penalty: how much longer texts are favoured in a search (see `beam_search`); 0 compares the texts'
                probabilities, which is what a beam search maximises, and 0.6 to 0.7 is what Wu et al. 2016 use.

        Raises:
            ConfigError: a value out of range, or beams with other rules.
        """
        rules = Rules(float(temperature), int(top_k), float(top_p), float(min_p), float(typical), float(repetition))
        check_beams(beams, length_penalty, rules)
        if max_tokens < 0:
            raise ConfigError(f"max_tokens must not be negative, got {max_tokens}.", mend="0 fills the context.")
        n, length = int(keys.shape[0]), self.length
        tokens, given = condition.get("tokens"), condition.get("given")
        if tokens is None:
            tokens, given = ops.full((n, length), self.start, dtype="int32"), ops.ones((n,), dtype="int32")
        state, steps = init_state(self, tokens, given, keys, cache), steps_left(length, given, max_tokens)
        if beams > 1:
            tokens = beam_search(self, state, beams, float(length_penalty), steps)
        else:
            tokens = decode(self, state, rules, steps)[0]
        if not max_tokens:
            return tokens
        positions = ops.arange(length, dtype="int32")[None] - ops.cast(given, "int32")[:, None]
        return ops.where(ops.less(positions, max_tokens), tokens, NOTHING)

    def finish(self, samples: Any, condition: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        r"""Return tokens (n, length) up to the first `stop` after the prompt; \n in it stands for a line's end.

        Raises:
            ConfigError: a stop, but no tokenizer to read it with.
        """
        stop = written(str(options.get("stop", "")))
        if not stop:
            return samples
        if self.tokenizer is None:
            raise ConfigError("This model has no tokenizer to find a stop with.", mend="Leave stop out.")
        given = condition["given"] if "given" in condition else np.ones(len(samples), np.int32)
        return until(self.tokenizer, samples, given, stop)

    def init_caches(self, n: int) -> list[Any]:
        """Return the keys and values of no token, for `extend`."""
        pairs = zip(self.blocks, self._memories(), strict=True)
        return [block.empty_cache(n, self.length, memory) for block, memory in pairs]

    def new_prompt(self, kind: str, vectors: int, seed: int) -> Any:
        """Return a prompt of kind "soft" or "prefix" to be trained."""
        return new_prompt(kind, vectors, seed, self.embedding.embeddings.value, self.blocks)

    def _memories(self) -> list[Any]:
        """Return what stands before the text in each block, None for nothing."""
        return [None] * len(self.blocks) if self.prompt is None else self.prompt.memory(self.blocks)

    def next_logits(self, position: Any, tokens: Any, caches: list[Any]) -> tuple[Any, list[Any]]:
        """Return logits (n, vocabulary) of the token after each row's position, and the caches with that position in.

        Args:
            position: int32 (n,).
            tokens: int32 (n, length), known up to there.
            caches: of the positions before; empty to compute them again.
        """
        if not caches:
            return ops.take_along_axis(self.logits(tokens), position[:, None, None], axis=1)[:, 0], caches
        token = ops.take_along_axis(tokens, position[:, None], axis=1)
        hidden, caches = self.extend(token, position[:, None], caches)
        return self._read(hidden)[:, 0], caches

    def extend(self, x: Any, position: Any, caches: list[Any]) -> tuple[Any, list[Any]]:
        """Return what the blocks make of tokens x (n, t) at positions (n, t), and the caches with these in."""
        hidden = self._embedded(x, position)
        before = 0 if self.prompt is None else self.prompt.vectors
        new = []
        for block, cache in zip(self.blocks, caches, strict=True):
            hidden, cache = block.extend(hidden, position, cache, before)
            new.append(cache)
        return hidden, new

    def _read(self, hidden: Any) -> Any:
        hidden = self.norm(hidden)
        if self.out is not None:
            return ops.cast(self.out(hidden), keras.config.floatx())
        embeddings = ops.cast(self.embedding.embeddings, hidden.dtype)
        return ops.cast(ops.matmul(hidden, ops.transpose(embeddings)), keras.config.floatx())


def _positions(n: int, t: int) -> Any:
    return ops.broadcast_to(ops.arange(t, dtype="int32"), (n, t))


def _seen_within(document: Any, t: int) -> Any:
    """Return which tokens each may look at, bool (n, 1, t, t): earlier ones of its own document, and itself."""
    return ops.logical_and(ops.equal(document[:, :, None], document[:, None, :]), causal(t))[:, None]


def _normal(o: TransformerOptions) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=o.initializer_range)


def _check_heads(o: TransformerOptions) -> None:
    if o.width % o.heads or (o.kv_heads and o.heads % o.kv_heads):
        raise ConfigError(f"heads={o.heads} must divide width={o.width}, and kv_heads={o.kv_heads} the heads.")
    if o.position == "rotary" and (o.width // o.heads) % 2:
        raise ConfigError(f"Rotary positions turn pairs of values; a head has {o.width // o.heads}.")
