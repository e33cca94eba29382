"""Masked diffusion of tokens: predict those behind the masks, whatever share of a sample is masked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from genloom import DataSpec, GenerativeModel, Phase, random
from genloom.errors import ConfigError
from genloom.model.networks import full_precision, one_hot, run_network, takes_labels
from genloom_diffusion.masked_options import MaskedOptions
from genloom_diffusion.masking import SCHEDULES, first, weight
from genloom_diffusion.process import even_positions
from genloom_diffusion.prompts import FILE, prompted
from genloom_diffusion.token_network import alphabet, token_network_for
from genloom_diffusion.unmasking import SAMPLERS, Plan

__all__ = ["Masked"]

_EARLIEST = 1e-3  # of training times: before it hardly a token is masked, and its weight has no bound
_LEVELS = 4  # Masked shares per held-out sample; stratified, so that their mean is steady.


class Masked(GenerativeModel):
    """Masked diffusion (Sahoo et al. 2024; Shi et al. 2024), in continuous time.

    Args:
        spec: tokens (length,) with a vocabulary.
        options: a `MaskedOptions`, or None to make one from `values`.
        denoiser: your own network from tokens (n, length), of which `spec.vocabulary` is the mask, to logits
            (n, length, vocabulary); None builds a transformer.
        **values: option values by name, and `seed` and `noise` of every model.

    Raises:
        ConfigError: options out of range, data that are no tokens, or a denoiser that does not fit them.
    """

    Options: ClassVar[type] = MaskedOptions
    own_networks: ClassVar = {"denoiser": token_network_for}
    validation: ClassVar[tuple[str, ...]] = ("loss", "bound", "nats_per_char")
    """Held-out `loss` as trained, `bound`, an upper bound on -log p in nats per token, and that per character."""
    conditions = ("tokens",)

    def __init__(
        self, spec: DataSpec, options: Any = None, *, denoiser: keras.Layer | None = None, **values: Any
    ) -> None:
        super().__init__(spec, options, **values)
        self.check_data(spec)
        if self.options.width % (2 * self.options.heads):
            raise ConfigError(f"heads={self.options.heads} must cut width={self.options.width} into even parts.")
        self.length, self.mask = alphabet(spec)
        self.schedule = SCHEDULES[self.options.schedule]
        self.tokenizer: Path | None = None
        classes = self.labels_known()
        self.denoiser = self.network_of("denoiser", denoiser, [(self.length,)], (self.length, self.mask), classes)
        self.given = denoiser is not None
        self.conditional = bool(classes) and (denoiser is None or takes_labels(self.denoiser))

    def check_data(self, spec: DataSpec) -> None:
        """Refuse data that this model cannot take.

        Raises:
            ConfigError: they are no tokens.
        """
        if not spec.vocabulary or len(spec.shape) != 1:
            raise ConfigError(
                f"Masked diffusion needs tokens with a vocabulary, got {spec.kind} of shape {spec.shape}."
            )

    def labels_known(self) -> int:
        """Return how many classes the network is told of."""
        return 0

    # Training.

    def default_optimizers(self) -> keras.optimizers.Optimizer:
        """Return AdamW, whose decay leaves the vectors of norms alone."""
        optimizer = keras.optimizers.AdamW(
            self.options.learning_rate, weight_decay=self.options.weight_decay, beta_2=0.99
        )
        optimizer.exclude_from_weight_decay(var_list=[v for v in self.trainable_variables if len(v.shape) < 2])
        return optimizer

    def phases(self) -> list[Phase]:
        """Return the one phase: predict what is masked."""
        return [Phase("denoiser", lambda: self.denoiser.trainable_variables, self._loss)]

    def _loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        x = self.tokens(batch)
        n = int(x.shape[0])
        u, order = even_positions(self.uniform((1,)), n), self.uniform((n, self.length))
        return ops.mean(self.losses(x, u, order, self.training_label(batch, n), training=True)), {}, float(n)

    def tokens(self, batch: dict[str, Any]) -> Any:
        """Return a batch's tokens, int32 (n, length).

        Raises:
            ConfigError: several documents share a window, which this model would take for one text.
        """
        if batch.get("weight") is not None:
            raise ConfigError(
                "Masked diffusion takes windows of running text, got packed documents.",
                mend="Give text, such as text:FILE.",
            )
        return ops.cast(ops.convert_to_tensor(batch["x"]), "int32")

    def training_label(self, batch: dict[str, Any], n: int) -> Any:
        """Return the labels (n,) that a step shows the network; None without."""
        return None

    def losses(self, x: Any, u: Any, order: Any, label: Any = None, training: bool = False) -> Any:
        """Return the weighted loss per sample (n,), in nats per token.

        Args:
            x: int32 tokens (n, length).
            u: positions (n,) in [0, 1] of the times.
            order: uniform numbers (n, length); a token is masked where its own is below the masked share.
            label: of each sample (n,), for a model that is told.
            training: whether units are left out.
        """
        t = _EARLIEST + (1.0 - _EARLIEST) * ops.cast(u, keras.config.floatx())
        masked = ops.less(order, ops.cast(self.schedule.share(t), order.dtype)[:, None])
        return weight(self.options.weighting, self.schedule, t) * self._sum(x, masked, label, training) / self.length

    def bound(self, x: Any, u: Any, order: Any, label: Any = None) -> Any:
        """Return the bound on -log p(x) per sample (n,), in nats per token, at one number of masked tokens each.

        The integral over all times at which k are masked is 1/k of their sum, for any schedule; all k from 1 to length
        count alike (Uria et al. 2014, eq. 12; Ou et al. 2025, eq. 3.5).

        Args:
            x: int32 tokens (n, length).
            u: uniform numbers (n,) in [0, 1], which choose k.
            order: numbers (n, length); the first k are masked.
            label: of each sample (n,), for a model that is told.
        """
        count = ops.minimum(ops.floor(u * self.length), self.length - 1) + 1
        return self._sum(x, first(count, order), label, False) / ops.cast(count, keras.config.floatx())

    def _sum(self, x: Any, masked: Any, label: Any, training: bool) -> Any:
        """Return the sum of -log p over the tokens that are masked (n,)."""
        logits = self.logits(ops.where(masked, self.mask, x), label, training)
        rows = ops.reshape(logits, (-1, self.mask))  # torch would copy what has more axes
        nats = ops.sparse_categorical_crossentropy(ops.reshape(x, (-1,)), rows, from_logits=True)
        return ops.sum(ops.where(masked, ops.reshape(nats, (-1, self.length)), 0.0), axis=-1)

    def logits(self, z: Any, label: Any = None, training: bool = False) -> Any:
        """Return logits (n, length, vocabulary) of the token at each place of z (n, length), never of the mask."""
        if not self.given:
            return full_precision(self.denoiser(z, label, training=training))
        labels = one_hot(label, self.spec.classes) if self.conditional else None
        return run_network(self.denoiser, z, labels=labels, training=training)

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return held-out values per sample (n,), at keyed masks."""
        loss, bound = self.held_out(batch)
        return {"loss": loss, "bound": bound, "nats_per_char": bound / float(self.spec.rate or 1.0)}

    def held_out(self, batch: dict[str, Any]) -> tuple[Any, Any]:
        """Return the loss and the bound per sample (n,), in nats per token, at keyed masks."""
        x, label = self.tokens(batch), self.labels_of(batch) if self.conditional else None
        u, order = self._levels(self.validation_keys(batch), _LEVELS)
        loss = sum(self.losses(x, u[:, j], order[:, j], label) for j in range(_LEVELS)) / _LEVELS
        return loss, sum(self.bound(x, u[:, j], order[:, j], label) for j in range(_LEVELS)) / _LEVELS

    def _levels(self, keys: Any, count: int) -> tuple[Any, Any]:
        """Return stratified positions (n, count) and an order of the places for each (n, count, length)."""
        offsets = ops.arange(count, dtype="float32")[None]
        u = (random.uniform(random.fold(keys, 0), (count,)) + offsets) / count
        return u, random.uniform(random.fold(keys, 1), (count, self.length))

    def log_prob(self, x: Any, label: Any = None, *, levels: int = 16) -> Any:
        """Return a lower bound on log p(x) (n,), in nats, of samples (n, *shape), estimated at so many shares."""
        x, label = self.tokens({"x": x}), self.labels_of({"label": label}) if self.conditional else None
        u, order = self._levels(random.keys(0, int(x.shape[0])), levels)
        return -sum(self.bound(x, u[:, j], order[:, j], label) for j in range(levels)) * (self.length / levels)

    # Sampling.

    def attach(self, run: Any) -> None:
        """Take the run's tokenizer, by which prompts are read."""
        file = Path(run.path) / FILE
        self.tokenizer = file if file.is_file() else None

    def read_condition(self, given: Mapping[str, Any], n: int) -> Mapping[str, Any]:
        """Turn "prompt", a text or n of them, into "tokens" (n, length), -1 where one is to be drawn.

        Raises:
            ConfigError: no tokenizer, a prompt longer than a sample, or with a character that it does not know;
                tokens of another shape or outside the vocabulary.
        """
        if "prompt" in given:
            rest = {name: value for name, value in given.items() if name != "prompt"}
            return {**rest, "tokens": prompted(self.tokenizer, given["prompt"], n, self.length)}
        if "tokens" in given:
            return {**given, "tokens": self.checked_tokens(np.asarray(given["tokens"]), n)}
        return given

    def checked_tokens(self, tokens: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
        """Return tokens of n samples, int32 (n, length), -1 where one is to be drawn.

        Raises:
            ConfigError: another shape, or numbers outside the vocabulary.
        """
        whole = tokens.dtype.kind in "iu" and tokens.shape in ((self.length,), (n, self.length))
        if not whole or tokens.min() < -1 or tokens.max() >= self.mask:
            raise ConfigError(
                f"tokens must be whole numbers of shape {(n, self.length)} from 0 to {self.mask - 1}, "
                f"got {tokens.dtype} of shape {tokens.shape}.",
                mend="Write -1 where a token is to be drawn.",
            )
        return np.broadcast_to(tokens.astype(np.int32), (n, self.length))

    def draw(
        self,
        keys: Any,
        condition: dict[str, Any],
        *,
        sampler: str | None = None,
        steps: int | None = None,
        temperature: float | None = None,
        hesitation: float | None = None,
    ) -> Any:
        """Return tokens int32 (n, length).

        Args:
            keys: per-sample keys (n, 2).
            condition: "tokens" int32 (n, length), kept where they are 0 or more and drawn where they are -1; without,
                all are drawn.
            sampler: one of `SAMPLERS`; None takes the option's, as below.
            steps: network calls.
            temperature: divides the logits; 0 takes the likeliest token.
            hesitation: noise of the order in which the surest tokens come.

        Raises:
            ConfigError: an unknown sampler, or a value out of range.
        """
        chosen = self.options_with(sampler=sampler, steps=steps, temperature=temperature, hesitation=hesitation)
        return self.filled(self.logits, keys, condition, chosen)

    def filled(self, predict: Any, keys: Any, condition: dict[str, Any], chosen: Any) -> Any:
        """Return tokens int32 (n, length) that a sampler draws by `predict(z)` -> logits, around those given."""
        tokens = condition.get("tokens", ops.full((int(keys.shape[0]), self.length), -1, dtype="int32"))
        z = ops.where(ops.less(tokens, 0), self.mask, ops.cast(tokens, "int32"))
        plan = Plan(self.schedule, chosen.steps, self.mask, chosen.temperature, chosen.hesitation)
        return SAMPLERS[chosen.sampler](predict, plan, z, keys)

    def evaluations(self, **asked: Any) -> int:
        """Return network evaluations per sample under sampling options."""
        return int(self.options_with(**asked).steps)
