"""The terms of a VAE's objective beside the reconstruction, each listed where its option gives it a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

from genloom import backend
from genloom.model.networks import run_network
from genloom.objectives import per_sample
from genloom_vae.annealing import ramp_of
from genloom_vae.correlation import total_correlation
from genloom_vae.discrepancy import discrepancy
from genloom_vae.objective import Pass, Term

if TYPE_CHECKING:
    from genloom_vae.model import VAE

__all__ = ["divergences", "penalties"]


def divergences(model: VAE) -> list[Term]:
    """Return what draws q(z|x), or the codes of a batch together, towards the prior."""
    o, ramp = model.options, ramp_of(model.options.annealing, model.options.annealing_steps)
    found = [Term("kl", lambda p: ops.sum(_kl(model, p), axis=-1), o.beta, ramp)]
    if o.free_bits:
        found.append(Term("free_bits", lambda p: free_bits(_kl(model, p), o.free_bits, o.latent), o.beta, ramp))
    if o.mmd:
        found.append(Term("mmd", lambda p: _discrepancy(model, p), o.mmd))
    if o.adversarial:
        found.append(Term("adversarial", lambda p: ops.softplus(-model.judge(p.z)), o.adversarial))
    if o.tc:
        by_critic = o.tc_by == "critic"
        found.append(
            Term("tc", lambda p: model.judge(p.z) if by_critic else total_correlation(p.q.log_probs_of_all(p.z)), o.tc)
        )
    return found


def penalties(model: VAE) -> list[Term]:
    """Return what keeps the decoder smooth (Ghosh et al. 2020, §3)."""
    o, found = model.options, []
    if o.decoder_l2:
        found.append(Term("decoder_l2", lambda p: squared_weights(model.decoder), o.decoder_l2))
    if o.decoder_gradient:
        found.append(Term("decoder_gradient", lambda p: _squared_jacobian(model, p), o.decoder_gradient))
    return found


def _kl(model: VAE, p: Pass) -> Any:
    return model.target_prior.kl(p.q, p.z, p.log_q, p.labels)


def _discrepancy(model: VAE, p: Pass) -> Any:
    """Return how far the batch's codes are from the prior's, within each class where samples are asked for by class."""
    labels = p.labels if model.conditional else None
    return discrepancy(p.z, model.prior_codes(int(p.z.shape[0]), p.labels), model.options.kernel, labels)


def free_bits(parts: Any, nats: float, size: int) -> Any:
    """Return Σ_j max(λ, KL_j) − KL_j of the batch's mean KL, what the floor adds (Kingma et al. 2016, eq. 15).

    Args:
        parts: the KL by parts (n, parts): its dimensions, or one part where it has no closed form.
        nats: λ per dimension.
        size: d; a single part has a floor of λ d.
    """
    mean = ops.mean(parts, axis=0)
    floor = nats * size / int(parts.shape[-1])
    return ops.sum(ops.maximum(floor - mean, 0.0))


def squared_weights(network: Any) -> Any:
    """Return ½ Σ ‖W‖² over a network's trainable weights, biases too."""
    return 0.5 * sum(ops.sum(ops.square(ops.convert_to_tensor(v))) for v in network.trainable_variables)


def _squared_jacobian(model: VAE, p: Pass) -> Any:
    """Return ½ ‖∂decoder/∂z‖² per sample (n,), by one random direction v: E‖Jᵀv‖² = ‖J‖² for v ~ N(0, I)."""
    direction = model.normal(tuple(p.output.shape))

    def along(z: Any) -> Any:
        return per_sample(direction * run_network(model.decoder, z, labels=p.labels, training=True))

    return 0.5 * per_sample(ops.square(backend.grad(along)(p.z)))
