"""`genloom.create`: from a component's id to a compiled model, or to one whose weights wait for training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from genloom.arguments import instance, seed_number
from genloom.data.spec import DataSpec
from genloom.opening.building import instantiate
from genloom.opening.parts import found_parts, models_of
from genloom.plugins.registry import find

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["create"]


def create(
    id: str,
    spec: DataSpec,
    *,
    preset: str | None = None,
    seed: int = 0,
    noise: Literal["native", "portable"] = "native",
    networks: Mapping[str, Any] | None = None,
    compile: bool = True,
    **options: Any,
) -> GenerativeModel:
    """Build a model for data of a given description.

    Args:
        id: the model, `vae/conv` or short while unique (`genloom list models`).
        spec: what one sample is; a data set has it as `.spec`.
        preset: named option values, such as "tiny".
        seed: seed of the initial weights and of the training noise, from 0 to 2⁶³ − 1.
        noise: "native" training noise, or "portable" across backends.
        networks: the caller's own Keras networks by the name of the constructor's argument, such as
            {"encoder": model}; they keep their weights. A trained model may stand so in the place of an option that
            names a run, too.
        compile: whether to compile with the family's optimizers, so that `fit` can be called at once.
        **options: the model's options by name (`genloom show ID`); they win over the preset.

    Returns:
        The model, its weights drawn from `seed`.

    Raises:
        NotFoundError: no model has this id; names the nearest.
        ConfigError: an unknown preset, option or network, a value out of range, data of a kind the model does not
            take, or an option that names no run whose model fits.
    """
    seed = seed_number(seed)
    instance("spec", spec, DataSpec, "a DataSpec", mend="A data set has one: genloom.data.open(data).spec.")
    instance("networks", networks, (Mapping, type(None)), "a dict of networks by name")
    component = find("model", id)
    configured = component.configure(preset, **options)
    given = dict(networks or {})
    parts = found_parts(component, configured, spec, given=given)
    model = instantiate(component, spec, configured, seed, noise, {**models_of(parts), **given})
    if compile:
        model.compile()
    return model
