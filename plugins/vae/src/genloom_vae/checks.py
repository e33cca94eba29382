"""Options that contradict each other, refused before anything is built. No Keras here."""

from __future__ import annotations

from typing import Any

from genloom.errors import ConfigError

__all__ = ["check_importance", "check_options"]


def check_options(o: Any) -> None:
    """Hold a VAE's options against each other.

    Raises:
        ConfigError: two that contradict each other; says what to do.
    """
    _check_weights(o)
    _check_posterior(o)
    _check_prior(o)


def check_importance(o: Any) -> None:
    """Hold the options of an importance-weighted bound against each other.

    Raises:
        ConfigError: two that contradict each other; says what to do.
    """
    others = ("free_bits", "mmd", "adversarial", "tc", "decoder_l2", "decoder_gradient")
    given = [f"{name}={value}" for name in others if (value := vars(o)[name])]
    given += [] if o.beta == 1.0 else [f"beta={o.beta}"]
    given += [] if o.annealing == "none" else [f"annealing={o.annealing}"]
    given += [] if o.prior_fit == "joint" else [f"prior_fit={o.prior_fit}"]
    if given:
        raise ConfigError(
            f"vae/iwae minimises a bound of log p(x) and has no term for {', '.join(given)}.",
            mend="Use vae/mlp for it.",
        )
    if o.posterior == "point" or (o.gradient == "dreg" and o.posterior == "flow"):
        raise ConfigError(
            f"vae/iwae with gradient={o.gradient} needs the density of q(z|x), posterior={o.posterior} gives none.",
            mend="Use posterior=gaussian.",
        )
    if o.gradient == "dreg" and o.bound != "iwae":
        raise ConfigError(f"gradient=dreg is that of bound=iwae, got bound={o.bound}.", mend="Use gradient=plain.")
    if o.bound == "piwae" and o.draws % o.groups:
        raise ConfigError(f"draws={o.draws} cannot be cut into groups={o.groups}.", mend="Let groups divide draws.")


def _check_weights(o: Any) -> None:
    if not o.beta and o.free_bits:
        raise ConfigError(
            f"free_bits={o.free_bits} floors a KL term of weight beta=0.", mend="Give beta, or leave it out."
        )
    if not o.beta and o.annealing != "none":
        raise ConfigError(
            f"annealing={o.annealing} anneals a weight that is beta=0.", mend="Give beta, or leave it out."
        )
    if o.tc and o.latent < 2:
        raise ConfigError(
            f"tc={o.tc} needs two dimensions at least, latent is {o.latent}.", mend="Give latent=2 or more."
        )
    if o.tc and o.tc_by == "critic" and o.adversarial:
        raise ConfigError(
            f"tc={o.tc} by a critic and adversarial={o.adversarial} both need the one critic.", mend="Use tc_by=batch."
        )


def _check_posterior(o: Any) -> None:
    form = o.posterior
    if form == "sphere" and o.prior != "uniform":
        raise ConfigError(
            f"posterior=sphere has codes on a sphere, prior={o.prior} has not.", mend="Use prior=uniform."
        )
    if form == "sphere" and o.latent < 3:
        raise ConfigError(f"posterior=sphere needs latent=3 at least, got {o.latent}.", mend="Give latent=3 or more.")
    if form != "gaussian" and o.tc and o.tc_by == "batch":
        raise ConfigError(
            f"tc_by=batch needs q(z_j|x) of any code, posterior={form} has none.", mend="Use tc_by=critic."
        )
    if form == "point" and o.free_bits:
        raise ConfigError("posterior=point has no KL for free_bits to floor.", mend="Leave free_bits out.")
    if form == "point" and o.prior not in ("standard", "uniform") and o.prior_fit == "joint":
        raise ConfigError(
            f"posterior=point with prior={o.prior} learned jointly would shrink onto single codes without end.",
            mend="Use prior_fit=codes, or prior=standard.",
        )


def _check_prior(o: Any) -> None:
    if o.prior == "uniform" and o.posterior != "sphere":
        raise ConfigError(
            f"prior=uniform is one on the sphere, posterior is {o.posterior}.", mend="Use posterior=sphere."
        )
    if o.prior == "vamp" and o.posterior != "gaussian":
        raise ConfigError(
            f"prior=vamp is a mixture of q(z|u), posterior={o.posterior}.", mend="Use posterior=gaussian."
        )
    if o.prior == "flow" and o.latent < 2:
        raise ConfigError("prior=flow needs latent=2 at least, got 1.", mend="Use prior=mixture.")
    if o.prior_fit == "codes" and o.prior not in ("mixture", "flow"):
        raise ConfigError(
            f"prior_fit=codes has nothing to fit in prior={o.prior}.", mend="Use prior=mixture or prior=flow."
        )
