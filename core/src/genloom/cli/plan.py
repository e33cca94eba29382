"""What `genloom train` was asked for, gathered from flag, environment, configuration file and run, in that precedence.

The preset and the defaults lie below these layers; the trainer adds them.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from genloom.errors import ConfigError, nearest
from genloom.files.toml import read_toml
from genloom.messages import tell
from genloom.options import LARGEST_SEED, configure, option, parse_assignments
from genloom.training.settings import FLAGS, TrainingSettings, of_one_length

__all__ = ["Plan", "environment_settings", "gather", "read_config", "split_assignments"]

_TABLES = ("model", "data", "training", "versions")
# What run.toml records beside what was asked for; a run can so be given as --config and is trained again.
_RECORDED = {
    "data": ("fingerprint", "spec", "notes"),
    "training": ("steps_per_epoch",),
    "model": ("hash", "plugin", "parts"),
}
#: How the tables of a file are written, for those who wrote something else.
_WRITTEN = {
    "model": 'Write [model], and below it id = "vae/mlp".',
    "data": 'Write [data], and below it address = "digits".',
    "training": "Write [training], and below it settings such as epochs = 10.",
}
_SEEDS = ("seed", "seeds")


@dataclasses.dataclass(frozen=True)
class _Circumstances:
    """What the command line itself reads; every other key is a training setting or a model option."""

    seed: int | None = option(None, "seed of weights, order and noise", minimum=0, maximum=LARGEST_SEED)
    seeds: tuple[int, ...] | None = option(None, "one run per seed", minimum=0, maximum=LARGEST_SEED)
    init_from: str | None = option(None, "run whose weights to start from")
    out: str | None = option(None, "run directory")
    backend: str | None = option(None, "engine")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything `genloom train` passes on.

    Attributes:
        model: model id.
        data: data address.
        preset: name of a preset, or None.
        options: model options by name, as given (strings are read by the options' types).
        circumstances: seed, seeds, init_from and out; only what was given.
        settings: training settings by name, as given.
        backend: engine, or None.
    """

    model: str
    data: str
    preset: str | None
    options: dict[str, Any]
    circumstances: dict[str, Any]
    settings: dict[str, Any]
    backend: str | None


def gather(
    flags: Mapping[str, Any], environment: Mapping[str, Any], assignments: Iterable[str], config: Mapping[str, Any]
) -> Plan:
    """Merge the layers into one plan.

    Args:
        flags: values given on the command line, by name.
        environment: values given as GENLOOM_<NAME>, by name.
        assignments: `--set` words, "k=v" for the model, "training.k=v" for a training setting.
        config: content of a configuration file, see `read_config`.

    Raises:
        ConfigError: no model or data, two exclusive settings in one layer, a wrong type, an unknown table.
    """
    model, data = dict(config.get("model", {})), dict(config.get("data", {}))
    set_model, set_training = split_assignments(assignments)
    asked = _layered(dict(config.get("training", {})), {**environment}, set_training | {**flags})
    named = _named(flags, environment.keys() - set_training.keys())
    # run.toml keeps the seed of the weights with the model; as a request it is the seed of the run.
    if "seed" in model and not {"seed", "seeds"} & asked.keys():
        asked["seed"] = model["seed"]
    place = {name: asked.pop(name, None) for name in ("model", "data", "preset")}
    names = {field.name for field in dataclasses.fields(_Circumstances)}
    settings = {key: value for key, value in asked.items() if key not in names}
    circumstances = configure(_Circumstances, {key: value for key, value in asked.items() if key in names}, named=named)
    given = {key: value for key, value in dataclasses.asdict(circumstances).items() if value is not None}
    inline = {key: value for key, value in model.items() if key not in ("id", "preset", "seed", "options")}
    configure(TrainingSettings, settings, named=named)  # the trainer reads them again, but cannot know what was typed
    return Plan(
        model=_needed("model", place["model"] or model.get("id"), "genloom train MODEL, see: genloom list models"),
        data=_needed("data", place["data"] or data.get("address"), "--data SRC, see: genloom list datasets"),
        preset=place["preset"] or model.get("preset"),
        options={**model.get("options", {}), **inline, **set_model},
        backend=given.pop("backend", None),
        circumstances=given,
        settings=settings,
    )


def read_config(path: str | pathlib.Path) -> dict[str, dict[str, Any]]:
    """Read a configuration file with the tables [model], [data] and [training]; a run's run.toml is one, too.

    Raises:
        ConfigError: the file is absent, not TOML, or holds another table.
    """
    content = read_toml(path, "configuration file")
    content.pop("stretches", None)  # the history of a run is not asked for again
    _check_kinds(path, content)
    for name in content:
        if name not in _TABLES:
            raise ConfigError(
                f"{str(path)!r} holds the unknown table {name!r}.{nearest(name, _TABLES[:3])}",
                mend="Use [model], [data] and [training].",
            )
    content.pop("versions", None)
    return {
        name: {key: value for key, value in values.items() if key not in _RECORDED[name]}
        for name, values in content.items()
    }


def _check_kinds(path: str | pathlib.Path, content: Mapping[str, Any]) -> None:
    """Refuse what is not a table where one is read, and no string where a name is."""
    for name in _TABLES:
        _check_kind(path, name, content.get(name, {}), dict, mend=_WRITTEN.get(name))
    model, data = content.get("model", {}), content.get("data", {})
    _check_kind(path, "model.options", model.get("options", {}), dict)
    for name, value in (("model.id", model.get("id")), ("model.preset", model.get("preset"))):
        _check_kind(path, name, value or "", str)
    _check_kind(path, "data.address", data.get("address", ""), str)


def _check_kind(path: str | pathlib.Path, name: str, value: Any, kind: type, mend: str | None = None) -> None:
    if not isinstance(value, kind):
        what = "a table" if kind is dict else "a string"
        raise ConfigError(f"{name!r} in {str(path)!r} must be {what}, got {value!r}.", mend=mend)


def environment_settings() -> dict[str, str]:
    """Return the training settings that GENLOOM_<NAME> variables give; those of flags are read by the flags."""
    own = {*FLAGS, *(field.name for field in dataclasses.fields(_Circumstances))}
    names = [field.name for field in dataclasses.fields(TrainingSettings) if field.name not in own]
    _tell_misspelled({*own, *names, "data", "preset"})
    found = {name: os.environ.get(f"GENLOOM_{name.upper()}", "") for name in names}
    return {name: value for name, value in found.items() if value}


def _tell_misspelled(names: Iterable[str]) -> None:
    """Name variables that nothing reads and that look like a setting."""
    known = {name.upper() for name in names}
    for variable in sorted(os.environ):
        name = variable.removeprefix("GENLOOM_")
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if variable.startswith("GENLOOM_") and name not in known and near:
            tell(f"{variable} is not read by anything. Did you mean GENLOOM_{near[0]}?")


def _named(flags: Collection[str], environment: Collection[str]) -> Callable[[str], str]:
    """Return what names a training setting by where it came from: --batch-size, GENLOOM_CLIP, or training.clip."""

    def named(name: str) -> str:
        if name in flags:
            return f"--{name.replace('_', '-')}"
        return f"GENLOOM_{name.upper()}" if name in environment else f"training.{name}"

    return named


def split_assignments(assignments: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Part the words of --set, "k=v" from "training.k=v"; "model.k=v" is the first kind as well."""
    model: dict[str, str] = {}
    training: dict[str, str] = {}
    for key, value in parse_assignments(assignments).items():
        prefix, dot, name = key.partition(".")
        if dot and prefix == "training":
            training[name] = value
        else:
            model[name if dot and prefix == "model" else key] = value
    return model, training


def _layered(*layers: dict[str, Any]) -> dict[str, Any]:
    """Merge layers; one that says how long, or which seeds, takes away what those below say of it."""
    merged: dict[str, Any] = {}
    for layer in of_one_length(layers):
        given = [name for name in _SEEDS if name in layer]
        if len(given) > 1:
            raise ConfigError("seed and seeds exclude each other.", mend="Give one of them.")
        if given:
            merged = {key: value for key, value in merged.items() if key not in _SEEDS}
        merged.update(layer)
    return merged


def _needed(what: str, value: Any, how: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"No {what} is given.", mend=f"Write {how}.")
    return value
