"""Options that contradict each other, or say something that nothing would heed: refused before anything is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from genloom import DataSpec
from genloom.errors import ConfigError
from genloom_diffusion.options import SAMPLERS, DenoisingOptions

__all__ = ["adds_noise", "check_changed", "check_guidance", "check_guides", "check_options"]

Heeds = Callable[[Any, DataSpec], bool]


class _Rule(NamedTuple):
    """When an option is heeded, the others that decide it, and how to mend it where it is not."""

    heeded: Heeds
    beside: tuple[str, ...]
    mend: str


def _needs(name: str, *values: Any) -> _Rule:
    return _Rule(lambda options, spec: getattr(options, name) in values, (name,), f"Use {name}={values[0]}.")


def _labelled(options: Any, spec: DataSpec) -> bool:
    return bool(options.conditional and spec.classes)


def _clips(options: Any, spec: DataSpec) -> bool:
    return bool(options.clip and spec.value_range is not None and options.sampler != "mean")


def _guides(options: Any, spec: DataSpec) -> bool:
    return bool(options.guidance != 1.0)


_RULES: dict[str, _Rule] = {
    "sigma_max": _needs("process", "exploding"),
    "sigma_min": _needs("process", "exploding"),
    "level_mean": _needs("levels", "normal"),
    "level_deviation": _needs("levels", "normal"),
    "spacing": _needs("sampler", *(name for name in SAMPLERS if name != "rk45")),
    "eta": _needs("sampler", "ddim"),
    "churn": _needs("sampler", "heun"),
    "tolerance": _needs("sampler", "rk45"),
    "threshold": _Rule(_clips, ("clip", "value_range", "sampler"), "It bounds predictions that a sampler clips."),
    "tangent": _needs("rule", "derivative"),
    "power": _needs("rule", "derivative"),
    "label_dropout": _Rule(_labelled, ("conditional", "classes"), "Use data with classes, and conditional=true."),
    "guidance_from": _Rule(_guides, ("guidance",), "Give guidance, such as guidance=2."),
    "guidance_to": _Rule(_guides, ("guidance",), "Give guidance, such as guidance=2."),
}


def check_changed(options: DenoisingOptions, spec: DataSpec) -> None:
    """Refuse options of a model that contradict each other; those at their defaults ask for nothing.

    Raises:
        ConfigError: with the value and the mend.
    """
    check_options(options, spec, vars(options))
    if options.guidance != 1.0:
        check_guidance(options, _labelled(options, spec))


def check_options(options: DenoisingOptions, spec: DataSpec, asked: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other, and of those asked for by name what nothing heeds.

    Defaults ask for nothing.

    Raises:
        ConfigError: with the value and the mend.
    """
    if options.guidance_from > options.guidance_to:
        raise ConfigError(
            f"guidance_from must not be above guidance_to, got {options.guidance_from} and {options.guidance_to}.",
            mend="Swap them: 0 is the data, 1 the noise.",
        )
    if options.process == "exploding" and options.sigma_min >= options.sigma_max:
        raise ConfigError(
            f"sigma_min must be below sigma_max, got {options.sigma_min} and {options.sigma_max}.",
            mend=f"Lower sigma_min, such as sigma_min={options.sigma_max / 1000:g}.",
        )
    if vars(options).get("coupling") == "ot" and adds_noise(options):
        raise ConfigError(
            f"sampler={options.sampler} with eta={options.eta} and churn={options.churn} adds noise, and coupling=ot "
            "teaches a flow that holds without any.",
            mend="Use sampler=euler or heun, eta=0 and churn=0.",
        )
    stated = {**vars(options), "classes": spec.classes, "value_range": spec.value_range}
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    for name, value in asked.items():
        if value == defaults[name]:
            continue
        rule = _RULES.get(name)
        if rule is not None and not rule.heeded(options, spec):
            beside = " and ".join(f"{other}={stated[other]}" for other in rule.beside)
            raise ConfigError(f"{name}={value} has no effect with {beside}.", mend=rule.mend)


def adds_noise(options: DenoisingOptions) -> bool:
    """Return whether the sampler that options name draws noise on its way, as only a score allows."""
    extra = {"ddim": options.eta, "heun": options.churn}
    return options.sampler in ("ancestral", "dpm_2m_sde", "renoise") or extra.get(options.sampler, 0.0) > 0.0


def check_guidance(options: DenoisingOptions, labelled: bool) -> None:
    """Refuse guidance by labels of a model that has learnt none, or nothing without them.

    Raises:
        ConfigError: with the value and the mend.
    """
    if not labelled:
        raise ConfigError(
            f"guidance={options.guidance} has no effect: the model has learnt no labels.",
            mend="Train on data with classes and conditional=true, or name a guide with model.guided_by().",
        )
    if options.label_dropout == 0.0:
        raise ConfigError(
            f"guidance={options.guidance} needs predictions without labels, and label_dropout=0 taught none.",
            mend="Train with label_dropout=0.1, or name a guide with model.guided_by().",
        )


def check_guides(model: Any, weaker: Any, classifier: Any) -> None:
    """Refuse two guides, a model whose predictions are not of the same data at the same noise, or labels of no data.

    Raises:
        ConfigError: with the values and the mend.
    """
    if weaker is not None and classifier is not None:
        raise ConfigError("Guidance takes one guide, got weaker= and classifier=.", mend="Name one of them.")
    if classifier is not None and not model.spec.classes:
        raise ConfigError("A classifier guides by labels, and the data have no classes.", mend="Leave it out.")
    if weaker is not None:
        _check_weaker(model, weaker)


def _check_weaker(model: Any, weaker: Any) -> None:
    if weaker.spec.shape != model.spec.shape:
        raise ConfigError(
            f"A guide predicts the same data, got {weaker.spec.shape} for {model.spec.shape}.",
            mend="Train it on the same data.",
        )
    for name in ("process", "sigma_max", "sigma_min", "data_deviation"):
        own, other = getattr(model.options, name), getattr(weaker.options, name)
        if own != other:
            raise ConfigError(
                f"A guide has the same {name}, got {other} for {own}.", mend=f"Train it with {name}={own}."
            )
