"""A component's model from checked options: the one place where a class that a plugin names is called."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from genloom.arguments import instance
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, GenLoomError, PluginError, nearest
from genloom.modalities import takes
from genloom.opening.memory import within_memory
from genloom.options import RESERVED, runs_named_by
from genloom.plugins.offers import Component

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["check_kind", "check_model", "checked_model", "instantiate"]


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
    check_constructor(target, runs_named_by(component.options))


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
