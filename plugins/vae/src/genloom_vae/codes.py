"""Autoencoders of discrete codes with an autoregressive prior over them: FSQ and VQ-VAE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from genloom import random
from genloom.data import DataSpec
from genloom.errors import ConfigError
from genloom.metrics import bits_per_dimension
from genloom.model import Alarm, GenerativeModel, Phase
from genloom.model.networks import full_precision, run_network
from genloom_vae.alarms import few_codes
from genloom_vae.code_options import CodeOptions, FSQOptions, VQOptions
from genloom_vae.code_prior import CodePrior
from genloom_vae.likelihoods import BernoulliLikelihood, decoder_shape, likelihood_of
from genloom_vae.places import decoder_from_places, encoder_to_places, grid_of
from genloom_vae.quantizers import FiniteScalars, NearestVectors, Quantizer, spread_of
from genloom_vae.scaling import LatentScale

__all__ = ["FSQ", "VQ", "CodeModel"]


class CodeModel(GenerativeModel):
    """An encoder, a quantizer and a decoder, and a prior over their codes.

    The phase `codes` minimises −log p(x|c) + β ‖z − sg(e)‖² (van den Oord et al. 2017, eq. 3; the second term for VQ
    alone), mean over the batch, in nats of the normalised data; the phase `prior` minimises −log p(c|y) of codes that
    are given. Their sum at the encoder's codes is what `validate` calls `loss`, the length in nats of a description
    that tells codes first, then x: a bound, for −log p(x|y) ≤ −log p(c|y) − log p(x|c).

    Logged beside: `usage`, the different codes of a batch over the most there could be, and `perplexity`.

    Args:
        spec: what one sample is.
        options: an instance of `Options`, or None.
        encoder: maps normalised samples (n, *shape) to a vector for each place (n, *grid, width).
        decoder: maps the codes' vectors (n, *grid, width) to what the likelihood reads.
        **values: option values by name, and `seed` and `noise` of every model.

    Raises:
        ConfigError: a network whose shapes do not fit, a likelihood that the data cannot have, heads that do not divide
            the prior's width, too many codes, or an unknown option.
    """

    Options: ClassVar[type] = CodeOptions
    validation: ClassVar[tuple[str, ...]] = ("loss", "reconstruction", "code_nats")
    directions: ClassVar[Mapping[str, bool | None]] = {"reconstruction": None, "code_nats": None}

    def __init__(
        self,
        spec: DataSpec,
        options: Any = None,
        *,
        encoder: keras.Layer | None = None,
        decoder: keras.Layer | None = None,
        **values: Any,
    ) -> None:
        super().__init__(spec, options, **values)
        o = self.options
        if o.prior_width % o.prior_heads:
            raise ConfigError(
                f"prior_heads={o.prior_heads} must divide prior_width={o.prior_width}.",
                mend="Give another of the two, such as prior_heads=4 and prior_width=128.",
            )
        self.quantizer = self.quantizer_of(o)
        self.likelihood = likelihood_of(spec, o)
        if self.in_bits:
            self.validation = (*type(self).validation, "bits")  # type: ignore[misc]
        self.grid, self.conditional = grid_of(spec, o), bool(o.conditional and spec.classes)
        inner, outer = (*self.grid, self.quantizer.width), decoder_shape(spec, o)
        self.encoder = self._network("encoder", encoder, spec.shape, inner)
        self.decoder = self._network("decoder", decoder, inner, outer)
        self.scale = LatentScale(self.quantizer.width)
        self.prior = CodePrior(
            math.prod(self.grid), self.quantizer.levels, spec.classes if self.conditional else 0,
            layers=o.prior_layers, heads=o.prior_heads, width=o.prior_width, dropout=o.prior_dropout,
        )  # fmt: skip

    @staticmethod
    def quantizer_of(options: Any) -> Quantizer:
        """Return the quantizer that options describe."""
        raise NotImplementedError

    @property
    def in_bits(self) -> bool:
        """Whether the likelihood is a probability of the data's levels, of which bits can be counted."""
        binary = isinstance(self.likelihood, BernoulliLikelihood)
        return not self.likelihood.density and (self.spec.levels == 2 or not binary)

    def _network(self, role: str, given: Any, shape: tuple[int, ...], output: tuple[int, ...]) -> keras.Layer:
        """Return the caller's network, or a new one: which output it has, only the quantizer and likelihood know."""
        build = encoder_to_places if role == "encoder" else decoder_from_places
        made = build(self.spec, self.options, self.quantizer.width, output[-1]) if given is None else given
        return self.network_of(role, made, [shape], output, 0)

    @property
    def latent(self) -> DataSpec:
        """What `encode` returns: a vector for each place (*grid, width) of about unit deviation, with the labels."""
        return self.spec.replace(shape=(*self.grid, self.quantizer.width), kind="signal", value_range=None)

    # Training.

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Return one Adam per phase at the option `learning_rate`."""
        return {name: keras.optimizers.Adam(self.options.learning_rate) for name in ("codes", "prior")}

    def phases(self) -> list[Phase]:
        """Return the phases `codes` and `prior`."""
        metrics = ("reconstruction", "usage", "perplexity", *(("commitment",) if self.quantizer.learned else ()))
        return [
            Phase("codes", self._moved, self.codes_loss, metrics),
            Phase("prior", lambda: self.prior.trainable_variables, self.prior_loss),
        ]

    def _moved(self) -> list[Any]:
        parts = (self.encoder, self.decoder, self.likelihood)
        return [variable for part in parts for variable in part.trainable_variables]

    def alarms(self) -> list[Alarm]:
        """Return that of a code book of which hardly a word is used."""
        return [few_codes()]

    def codes_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return −log p(x|c) and the commitment of a batch, move what the quantizer learns, and tell of its codes."""
        x, n = self.normalised(batch["x"]), int(batch["x"].shape[0])
        z = run_network(self.encoder, x, training=True)
        if self.quantizer.learned:
            self.quantizer.learn(z, self.uniform((self.quantizer.codes,)))
        digits = self.quantizer.digits(z)
        e = self.quantizer.passed(z, digits)
        self.scale.measure(e, self.step)
        loss = -ops.mean(self.likelihood.log_prob(x, run_network(self.decoder, e, training=True)))
        usage, perplexity = spread_of(self.quantizer.index(digits), self.quantizer.codes)
        metrics = {"reconstruction": loss, "usage": usage, "perplexity": perplexity}
        if self.quantizer.learned:
            metrics["commitment"] = ops.mean(self.quantizer.commitment(z, digits))
            loss = loss + metrics["commitment"]
        return loss, metrics, float(n)

    def prior_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return −log p(c|y) of a batch's codes, mean in nats per sample."""
        digits = self._digits(self.normalised(batch["x"]))
        return -ops.mean(self._code_log_prob(digits, self.labels_of(batch), True)), {}, float(batch["x"].shape[0])

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the description's length and its two parts per sample (n,), in nats of the normalised data.

        And its `bits` for each value, where they can be counted.
        """
        reconstruction, code = self._lengths(batch["x"], self.labels_of(batch))
        found = {"loss": reconstruction + code, "reconstruction": reconstruction, "code_nats": code}
        return {**found, "bits": bits_per_dimension(found["loss"], self.spec.size)} if self.in_bits else found

    def log_prob(self, x: Any, label: Any = None) -> Any:
        """Return a lower bound on log p(x|y) (n,) in nats: log p(c|y) + log p(x|c) at the encoder's codes c.

        A density over the spec's own units where the likelihood is one; else a probability, so that −log_prob / (size
        log 2) are bits for each value.
        """
        lengths = self._lengths(x, self.labels_of({"label": label}))
        return -sum(lengths) - (self.spec.log_volume if self.likelihood.density else 0.0)

    def _lengths(self, x: Any, labels: Any) -> tuple[Any, Any]:
        """Return −log p(x|c) and −log p(c|y) (n,)."""
        x = self.normalised(x)
        digits = self._digits(x)
        output = run_network(self.decoder, self._vectors(digits))
        return -self.likelihood.log_prob(x, output), -self._code_log_prob(digits, labels)

    def _digits(self, x: Any) -> Any:
        """Return the digits int32 (n, *grid, digits) of normalised samples; no gradient flows through them."""
        return self.quantizer.digits(run_network(self.encoder, x))

    def _vectors(self, digits: Any) -> Any:
        return self.quantizer.vectors(ops.reshape(digits, (-1, *self.grid, len(self.quantizer.levels))))

    def _code_log_prob(self, digits: Any, labels: Any, training: bool = False) -> Any:
        return self.prior.log_prob(ops.reshape(digits, (-1, self.prior.length)), labels, training)

    # Sampling.

    def draw(
        self,
        keys: Any,
        condition: dict[str, Any],
        *,
        temperature: float | None = None,
        observation_noise: float | None = None,
    ) -> Any:
        """Return samples (n, *shape) in the spec's range: codes from the prior, then the likelihood's mean.

        Args:
            keys: int32 (n, 2).
            condition: {"label": int32 (n,)} when the model is conditional.
            temperature: of the prior's draws; the option of that name when None, as is the next.
            observation_noise: share of the likelihood's own noise to add.
        """
        chosen = self.options_with(temperature=temperature, observation_noise=observation_noise)
        digits = self.prior.sample(random.fold(keys, 0), self.labels_of(condition), chosen.temperature)
        output = run_network(self.decoder, self._vectors(digits))
        return self.denormalised(self.likelihood.sample(random.fold(keys, 1), output, chosen.observation_noise))

    def codes(self, x: Any) -> Any:
        """Return the numbers int32 (n, *grid) of the codes of samples (n, *shape) in the spec's range."""
        return self.quantizer.index(self._digits(self.normalised(x)))

    def decode_codes(self, codes: Any) -> Any:
        """Return E[x|c]: numbers of codes int32 (n, *grid) → (n, *shape) in the spec's range."""
        return self._shown(self._vectors(self.quantizer.digits_of(ops.convert_to_tensor(codes))))

    def encode(self, x: Any) -> Any:
        """Return the codes' vectors, scaled: (n, *shape) in the spec's range → (n, *grid, width)."""
        return self.scale.scaled(self._vectors(self._digits(self.normalised(x))))

    def decode(self, z: Any) -> Any:
        """Return E[x|c] at the codes nearest to z (n, *grid, width), of about unit deviation."""
        return self._shown(self._vectors(self.quantizer.nearest(self.scale.unscaled(full_precision(z)))))

    def _shown(self, vectors: Any) -> Any:
        return self.denormalised(self.likelihood.mean(run_network(self.decoder, vectors)))


class FSQ(CodeModel):
    """`vae/fsq`: finite scalar quantization (Mentzer et al. 2023): no code can die, for none is learned."""

    Options: ClassVar[type] = FSQOptions

    @staticmethod
    def quantizer_of(options: FSQOptions) -> Quantizer:
        """Return finite scalars."""
        return FiniteScalars(options.levels)


class VQ(CodeModel):
    """`vae/vq`: VQ-VAE (van den Oord et al. 2017), its codes moved by averages and started anew where unused."""

    Options: ClassVar[type] = VQOptions

    @staticmethod
    def quantizer_of(options: VQOptions) -> Quantizer:
        """Return learned vectors."""
        o = options
        return NearestVectors(o.codes, o.width, o.decay, o.restart, o.commitment)
