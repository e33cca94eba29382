"""`genloom.create`: from a component's id to a compiled model, or to one whose weights wait for training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from genloom.arguments import instance, seed_number
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, GenLoomError, PluginError, nearest
from genloom.modalities import takes
from genloom.opening.memory import within_memory
from genloom.options import RESERVED
from genloom.plugins.offers import Component
from genloom.plugins.registry import find

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["check_kind", "check_model", "checked_model", "create", "instantiate"]


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
            {"encoder": model}; they keep their weights.
        compile: whether to compile with the family's optimizers, so that `fit` can be called at once.
        **options: the model's options by name (`genloom show ID`); they win over the preset.

    Returns:
        The model, its weights drawn from `seed`.

    Raises:
        NotFoundError: no model has this id; names the nearest.
        ConfigError: an unknown preset, option or network, a value out of range, or data of a kind the model
            does not take.
    """
    seed = seed_number(seed)
    instance("spec", spec, DataSpec, "a DataSpec", mend="A data set has one: genloom.data.open(data).spec.")
    instance("networks", networks, (Mapping, type(None)), "a dict of networks by name")
    component = find("model", id)
    model = instantiate(component, spec, component.configure(preset, **options), seed, noise, networks or {})
    if compile:
        model.compile()
    return model


def instantiate(
    component: Component, spec: DataSpec, options: Any, seed: int, noise: str, networks: Mapping[str, Any]
) -> GenerativeModel:
    """Build a component's model from checked options, not compiled.

    Raises:
        ConfigError: data of a kind the model does not take, or a network it has no place for.
        PluginError: what the component names is no whole model.
        RunError: it does not fit into memory.
    """
    from genloom import backend

    check_kind(component, spec)
    target = component.load()
    check_model(component, target)
    _check_networks(component, target, networks)
    smaller = f"Choose smaller options: genloom show {component.id} lists them."
    with within_memory("The model", smaller), _as_raised(), backend.building():
        model: GenerativeModel = target(spec, options, seed=seed, noise=noise, **networks)
    return model


@contextlib.contextmanager
def _as_raised() -> Iterator[None]:
    """Raise an error of GenLoom as a layer raised it: Keras puts its text, among more, into an error of its own."""
    try:
        yield
    except Exception as error:
        passed = [error, *_behind(error)]
        own = [each for each in passed if isinstance(each, GenLoomError) and str(each) in str(error)]
        if not own or own[-1] is error:
            raise
        raise own[-1] from None


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that were being handled as this one was raised, the last one first."""
    while error.__context__ is not None:
        error = error.__context__
        yield error


def check_kind(component: Component, spec: DataSpec) -> None:
    """Raise ConfigError when a model does not take this kind of data."""
    if not takes(component, spec):
        raise ConfigError(
            f"{component.id} takes {', '.join(component.accepts)} data, got {spec.kind}.",
            mend="See: genloom list models.",
        )


def checked_model(model: Any, words: str = "a GenerativeModel") -> GenerativeModel:
    """Return a model object.

    Raises:
        ConfigError: it is none.
    """
    from genloom.model import GenerativeModel

    found: GenerativeModel = instance(
        "model", model, GenerativeModel, words, mend="Make one: genloom.create(id, spec)."
    )
    return found


def check_model(component: Component, target: Any) -> None:
    """Raise PluginError unless a component's target is a class of models that implements what each must."""
    from genloom.model import GenerativeModel
    from genloom.model.promises import check_constructor, check_methods

    if not isinstance(target, type) or not issubclass(target, GenerativeModel):
        raise PluginError(f"Component {component.id!r} names {target!r}, which is no subclass of GenerativeModel.")
    check_methods(target, GenerativeModel)
    check_constructor(target)


def _check_networks(component: Component, target: Any, networks: Mapping[str, Any]) -> None:
    import inspect

    parameters = inspect.signature(target.__init__).parameters.values()
    places = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in RESERVED]
    for name in networks:
        if name not in places:
            raise ConfigError(
                f"{component.id} has no network {name!r}.{nearest(name, places)}",
                mend=f"Networks: {', '.join(places) or 'none'}.",
            )
