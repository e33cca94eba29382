"""Models that are made of the trained models of other runs, which their options name.

`option("", "Run of the autoencoder.", run=("encode", "decode"))` declares such an option. Its run is looked at before
anything is built, its model is built again from the registry and handed to the constructor, frozen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from genloom.data.spec import DataSpec
from genloom.errors import ConfigError
from genloom.opening.load import part_model
from genloom.options import runs_named_by
from genloom.plugins.offers import Component
from genloom.plugins.registry import of_run, required
from genloom.runs import Run, open_run
from genloom.runs.parts import Part

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["found_parts", "models_of"]


def found_parts(
    component: Component,
    options: Any,
    spec: DataSpec,
    *,
    known: Mapping[str, Part] | None = None,
    given: Collection[str] = (),
) -> dict[str, Part]:
    """Return by option the trained models that a model is made of, once each is known to fit.

    Args:
        component: of the model.
        options: its checked options.
        spec: its data.
        known: parts that need no run any more, of a training that is gone on with or started from.
        given: options in whose place the caller has a model.

    Raises:
        ConfigError: an option that names no run, or a run whose model does not fit; says why.
        NotFoundError: the plugin of such a model is absent.
        RunError: the run has no whole checkpoint.
    """
    found = dict(known or {})
    for name, methods in runs_named_by(component.options).items():
        if name not in given and name not in found:
            found[name] = _found(component, name, getattr(options, name), methods, spec)
    return found


def models_of(parts: Mapping[str, Part], *, read: bool = True) -> dict[str, GenerativeModel]:
    """Build parts again, frozen.

    Args:
        parts: by option.
        read: whether to read their weights from their runs; else they wait for those of a checkpoint that holds them.

    Raises:
        ConfigError: a run is gone, or has other weights than it had.
    """
    return {name: part_model(part, read=read) for name, part in parts.items()}


def _found(component: Component, name: str, path: str, methods: Iterable[str], spec: DataSpec) -> Part:
    if not path:
        raise ConfigError(
            f"{component.id} is made of the trained model of another run, and {name} names none.",
            mend=f"Train one, then name its run: --set {name}=RUN.",
        )
    run = open_run(path)
    _check_methods(run, name, methods)
    _check_spec(run, name, spec)
    return Part.of(run)


def _check_methods(run: Run, name: str, methods: Iterable[str]) -> None:
    stated = run.config["model"]
    if stated.get("given"):
        raise ConfigError(
            f"The run {str(run.path)!r} was trained on a model object, which its id does not build again.",
            mend=f"Pass the model in Python: genloom.create(id, spec, networks={{{name!r}: model}}).",
        )
    with of_run(run.config):
        target = required("model", stated["id"], stated.get("plugin")).load()
    missing = [method for method in methods if not target.can(method)]
    if missing:
        raise ConfigError(
            f"{name}={str(run.path)!r} is a run of {stated['id']}, which has no {' and no '.join(missing)}.",
            mend="Name a run of a model that has, such as vae/conv.",
        )


def _check_spec(run: Run, name: str, spec: DataSpec) -> None:
    """Refuse a model of other data, apart from classes, which its own labels are about."""
    theirs = DataSpec.from_dict(run.stated("data", "spec"))
    for what in ("shape", "kind", "value_range", "vocabulary"):
        was, now = getattr(theirs, what), getattr(spec, what)
        if was != now:
            raise ConfigError(
                f"{name}={str(run.path)!r} was trained on data of {what} {was}; these have {now}.",
                mend=f"Train it on this data, or give the data it was trained on: {run.config['data'].get('address')}.",
            )
