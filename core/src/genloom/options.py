"""Typed, frozen options: one dataclass says name, type, default, range and help, and every layer is checked by it.

An options class is a plain `@dataclasses.dataclass(frozen=True)` whose fields are made with `option`. Values come in
layers (default, preset, configuration file, environment, flag); strings are read by the field's type, so a flag and a
TOML number mean the same.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from genloom.errors import ConfigError, PluginError, nearest

__all__ = [
    "LARGEST",
    "LARGEST_SEED",
    "LARGEST_WHOLE",
    "MOST_SAMPLES",
    "RESERVED",
    "check_names",
    "check_number",
    "configure",
    "describe",
    "option",
    "parse_assignments",
    "runs_named_by",
    "spelled",
]

T = TypeVar("T")

#: Names that no option of a model may have: they are arguments of `genloom.create` and of every model's constructor.
RESERVED = ("compile", "id", "networks", "noise", "options", "preset", "seed", "self", "spec")

#: Bounds of numbers that are declared without any, on both sides of 0: beyond what helps, and before what exhausts a
#: machine or a float32. Whoever needs more declares it.
LARGEST_WHOLE = 1_000_000
LARGEST = 1e30

#: A seed has 63 bits: samples keep it as int64.
LARGEST_SEED = 2**63 - 1

#: Samples drawn by one call, and the number of the last one.
MOST_SAMPLES = 10**8

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


def option(
    default: T,
    help: str,
    *,
    choices: Iterable[Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    fixed: bool = False,
    run: Iterable[str] | None = None,
) -> T:
    """Declare one field of an options class.

    Args:
        default: the value without any layer; must be immutable (a tuple, not a list).
        help: what the option means, with its unit and the reason of the default.
        choices: the only values allowed.
        minimum: lowest value allowed, inclusive; checked on each item of a tuple. Without it, -1,000,000 for whole
            numbers and -1e30 for others.
        maximum: highest value allowed, inclusive; checked on each item of a tuple. Without it, 1,000,000 for whole
            numbers and 1e30 for others.
        fixed: of a model: whether weights trained under one value mean something else under another, so that a
            training that starts from a run must keep that run's.
        run: of a model: that the value is the path of a run whose trained model the constructor gets as the argument of
            the same name, and which methods of `Family` that model must implement, such as ("encode", "decode"). It
            is `fixed`.

    Returns:
        A `dataclasses.field`, typed as the default so that type checkers see the option's type.

    Raises:
        PluginError: a default beyond a bound that is not declared.
    """
    for item in default if isinstance(default, tuple) else (default,):
        try:
            check_number(item, "default", minimum, maximum)
        except ConfigError as error:
            raise PluginError(f"The option of help {help!r}: {error}", mend="Declare its minimum or maximum.") from None
    limits = {
        "choices": None if choices is None else tuple(choices),
        "minimum": minimum,
        "maximum": maximum,
    }
    metadata = {
        "help": help,
        "fixed": fixed or run is not None,
        **({} if run is None else {"run": tuple(run)}),
        **{key: value for key, value in limits.items() if value is not None},
    }
    return dataclasses.field(default=default, metadata=metadata)


def check_number(value: Any, named: str, minimum: float | None = None, maximum: float | None = None) -> None:
    """Hold a number against its bounds, or against those of every number; what is no number passes.

    Raises:
        ConfigError: out of bounds, or not a number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if math.isnan(value):
        raise ConfigError(f"Option {named!r} must be a number, got nan.")
    most = LARGEST_WHOLE if isinstance(value, int) else LARGEST
    low, high = -most if minimum is None else minimum, most if maximum is None else maximum
    if value < low:
        raise ConfigError(f"Option {named!r} must be at least {low}, got {value}.")
    if value > high:
        raise ConfigError(f"Option {named!r} must be at most {high}, got {value}.")


def check_names(cls: type[Any], taken: Iterable[str], owner: str) -> None:
    """Refuse options that nobody could set, for their names say something else already.

    Args:
        cls: a dataclass of options.
        taken: names of other meaning.
        owner: whose options they are, for the message.

    Raises:
        PluginError: an option with such a name.
    """
    for name in _fields(cls):
        if name in taken:
            raise PluginError(
                f"{owner} has an option {name!r}, which is an argument of its constructor or of genloom.create.",
                mend="Give the option another name.",
            )


def configure(cls: type[T], *layers: Mapping[str, Any], named: Callable[[str], str] = str) -> T:
    """Build an options object from layers of values; later layers win.

    Args:
        cls: a frozen dataclass of options.
        layers: mappings of option name to value; a string is read by the field's type.
        named: from an option's name to what its user typed, such as `training.clip`, for messages.

    Raises:
        ConfigError: an unknown key (with the nearest name), a value of the wrong type, out of range, not among the
            choices, or a missing value without default.
    """
    fields = _fields(cls)
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            name = key.replace("-", "_")
            if name not in fields:
                raise ConfigError(
                    f"Unknown option {named(key)!r}.{nearest(named(name), map(named, fields))}",
                    mend=_known(map(named, fields)),
                )
            merged[name] = value
    kinds = _types(cls)
    values = {name: _checked(fields[name], kinds[name], value, named(name)) for name, value in merged.items()}
    missing = [named(name) for name, field in fields.items() if _is_required(field) and name not in values]
    if missing:
        raise ConfigError(f"Option {missing[0]!r} has no default.", mend=f"Give {missing[0]}=VALUE.")
    return cls(**values)


def describe(cls: type[Any]) -> list[dict[str, Any]]:
    """Return one row per option: name, type, default, help, choices, minimum, maximum (None where absent)."""
    return [
        {
            "name": name,
            "type": _type_name(_types(cls)[name]),
            "default": None if _is_required(field) else _default(field),
            "help": field.metadata.get("help", ""),
            "choices": field.metadata.get("choices"),
            "minimum": field.metadata.get("minimum"),
            "maximum": field.metadata.get("maximum"),
        }
        for name, field in _fields(cls).items()
    ]


def runs_named_by(cls: type[Any] | None) -> dict[str, tuple[str, ...]]:
    """Return of each option that names a run what the model of that run must implement."""
    fields = {} if cls is None else _fields(cls)
    return {name: field.metadata["run"] for name, field in fields.items() if "run" in field.metadata}


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """Read ["latent=16", "training.clip=1"] into {"latent": "16", "training.clip": "1"}.

    Raises:
        ConfigError: an item without "=" or without a name, or one name twice.
    """
    values: dict[str, str] = {}
    for item in assignments:
        name, equals, value = item.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise ConfigError(f"Expected NAME=VALUE, got {item!r}.")
        if name in values:
            raise ConfigError(f"Option {name!r} is given twice: {values[name]!r} and {value.strip()!r}.")
        values[name] = value.strip()
    return values


def spelled(value: Any) -> str:
    """Return an option's value as it is read again from text: the VALUE of NAME=VALUE."""
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _fields(cls: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(cls) if field.init}


def _types(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _known(fields: Iterable[str]) -> str:
    names = ", ".join(fields)
    return f"Options: {names}." if names else "There are no options here."


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _checked(field: dataclasses.Field[Any], kind: Any, value: Any, named: str) -> Any:
    """Read `value` as `kind`, then hold it against the field's choices and range."""
    try:
        parsed = _parse(kind, value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"Option {named!r} needs {_wanted(kind)}, got {value!r}.") from None
    choices = field.metadata.get("choices")
    for item in parsed if isinstance(parsed, tuple) else (parsed,):
        if choices is not None and item is not None and item not in choices:
            near = nearest(str(item), [str(choice) for choice in choices])
            raise ConfigError(
                f"Option {named!r} cannot be {item!r}.{near}",
                mend=f"Use one of {', '.join(map(str, choices))}.",
            )
        check_number(item, named, field.metadata.get("minimum"), field.metadata.get("maximum"))
    return parsed


def _parse(kind: Any, value: Any) -> Any:
    """Return `value` as `kind`, or raise TypeError or ValueError."""
    origin = typing.get_origin(kind)
    if kind is Any or kind is object:
        return value
    if origin in (typing.Union, types.UnionType):
        return _parse_union(typing.get_args(kind), value)
    if origin is typing.Literal:
        return _parse_literal(typing.get_args(kind), value)
    if kind is tuple or origin is tuple:
        return _parse_tuple(typing.get_args(kind) or (Any, ...), value)
    parser = _PARSERS.get(kind)
    if parser is not None:
        return parser(value)
    if not isinstance(value, origin or kind):
        raise TypeError
    return value


def _parse_union(members: tuple[Any, ...], value: Any) -> Any:
    if type(None) in members:
        if value is None or (isinstance(value, str) and value.lower() in ("none", "")):
            return None
        members = tuple(member for member in members if member is not type(None))
    for member in members:
        try:
            return _parse(member, value)
        except (TypeError, ValueError):
            continue
    raise ValueError


def _parse_literal(members: tuple[Any, ...], value: Any) -> Any:
    for member in members:
        if value == member or (isinstance(value, str) and value == str(member)):
            return member
    raise ValueError


def _parse_tuple(members: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    """Read a list, a tuple, or a string such as "32,64" or "(32, 64)"."""
    if isinstance(value, str):
        items: list[Any] = [item.strip() for item in value.strip().strip("()[]").split(",") if item.strip()]
    elif isinstance(value, (list, tuple)):
        items = list(value)
    else:
        items = [value]
    if len(members) == 2 and members[1] is Ellipsis:
        members = (members[0],) * len(items)
    if len(members) != len(items):
        raise ValueError
    return tuple(_parse(member, item) for member, item in zip(members, items, strict=True))


def _parse_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
        raise TypeError
    number: Any = value  # Real promises no __int__ to type checkers
    if not isinstance(value, str) and not float(value).is_integer():
        raise ValueError
    return int(number)


def _parse_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
        raise TypeError
    parsed = float(value)
    if math.isnan(parsed):
        raise ValueError
    return parsed


def _parse_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    raise TypeError


def _parse_str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


_PARSERS: dict[Any, Any] = {
    int: _parse_int,
    float: _parse_float,
    bool: _parse_bool,
    str: _parse_str,
}


def _type_name(kind: Any) -> str:
    if isinstance(kind, type) and typing.get_origin(kind) is None:
        return kind.__name__
    members = typing.get_args(kind)
    if typing.get_origin(kind) is Mapping:
        return "table"
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " | ".join("None" if member is type(None) else _type_name(member) for member in members)
    return str(kind).replace("typing.", "")


def _wanted(kind: Any) -> str:
    """Return in words what an option of a type takes."""
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        # None is last, wherever it was declared.
        return " or ".join(_wanted(member) for member in sorted(members, key=lambda each: each is type(None)))
    if origin is tuple and members[1:] == (Ellipsis,):
        return _LISTS.get(members[0], f"a list, each {_wanted(members[0])}")
    if origin is tuple:
        return f"a list of {', '.join(map(_wanted, members))}"
    if origin is typing.Literal:
        return " or ".join(map(repr, members))
    if origin is Mapping:
        return "a table"
    return _WORDS.get(kind) or f"a {_type_name(kind)}"


_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "none",
}
_LISTS: dict[Any, str] = {
    int: "whole numbers (as in 32 or 32,64)",
    float: "numbers (as in 0.5 or 0,1)",
    str: "names (as in a or a,b)",
}
