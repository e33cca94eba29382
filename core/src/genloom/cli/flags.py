"""Flags that several commands share, so that one flag reads and means the same everywhere."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from genloom.cli import offers
from genloom.options import LARGEST_SEED, LARGEST_WHOLE, MOST_SAMPLES
from genloom.runs.manifest import LAST_STEP
from genloom.training.settings import FLAGS, TrainingSettings

__all__ = [
    "COUNT",
    "SAMPLES",
    "SEED",
    "STEPS",
    "Number",
    "Whole",
    "asked_backend",
    "backend",
    "json_flag",
    "post_flag",
    "run_argument",
    "runs_argument",
    "seed_flag",
    "set_flag",
    "setting",
    "training_flags",
]

F = TypeVar("F", bound=Callable[..., Any])


class Whole(click.IntRange):
    """Whole numbers within bounds, called so in errors."""

    name = "whole number"


class Number(click.FloatRange):
    """Numbers within bounds, called so in errors."""

    name = "number"


#: Types of numbers; each says its bounds when it refuses one.
SEED = Whole(0, LARGEST_SEED)
COUNT = Whole(1, LARGEST_WHOLE)
SAMPLES = Whole(1, MOST_SAMPLES)
STEPS = Whole(1, LAST_STEP)

json_flag = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
run_argument = click.argument("run", type=click.Path(), metavar="RUN", shell_complete=offers.runs)
runs_argument = click.argument(
    "runs", nargs=-1, required=True, metavar="RUN…", type=click.Path(), shell_complete=offers.runs
)


class _Setting(click.Option):
    """A flag whose wrong value is laid to the variable where the variable gave it."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return what to name in an error."""
        if ctx is not None and ctx.get_parameter_source(str(self.name)) is ParameterSource.ENVIRONMENT:
            return repr(self.envvar)
        return super().get_error_hint(ctx)


def setting(flag: str, *names: str, **attributes: Any) -> Callable[[F], F]:
    """Declare a flag that the environment variable GENLOOM_<FLAG> stands in for."""
    variable = "GENLOOM_" + flag.lstrip("-").replace("-", "_").upper()
    return click.option(*names, flag, cls=_Setting, envvar=variable, default=None, show_envvar=False, **attributes)


#: --backend, which must be known before Keras is imported.
backend = setting(
    "--backend", metavar="ENGINE", help="Engine to run on: jax, torch or tensorflow.", shell_complete=offers.engines
)


def seed_flag(help: str) -> Callable[[F], F]:
    """Declare --seed, 0 by default."""
    return click.option("--seed", type=SEED, default=0, show_default=True, help=help)


def set_flag(help: str) -> Callable[[F], F]:
    """Declare --set K=V, which may be repeated."""
    return click.option("--set", "assignments", multiple=True, metavar="K=V", help=help)


def training_flags(command: F) -> F:
    """Declare a flag for each training setting that has one, by what the setting says of itself."""
    fields = {field.name: field for field in dataclasses.fields(TrainingSettings)}
    for name in reversed(FLAGS):
        said = fields[name].metadata
        attributes: dict[str, Any] = {"help": said["help"], "metavar": said["flag"] or None}
        if "int" in fields[name].type:
            attributes["type"] = Whole(min=said["minimum"])
        if name == "post":
            attributes |= {"multiple": True, "shell_complete": offers.postprocessors}
        command = setting(f"--{name.replace('_', '-')}", **attributes)(command)
    return command


def post_flag(help: str) -> Callable[[F], F]:
    """Declare --post NAME[:K=V,…], which may be repeated."""
    return click.option(
        "--post", multiple=True, metavar="NAME[:K=V,…]", help=help, shell_complete=offers.postprocessors
    )


def asked_backend(arguments: Sequence[str]) -> str | None:
    """Return the engine that raw arguments ask for with --backend or GENLOOM_BACKEND, None without."""
    for argument, following in itertools.zip_longest(arguments, arguments[1:]):
        if argument.startswith("--backend="):
            return argument.partition("=")[2]
        if argument == "--backend":
            return following or None
    return os.environ.get("GENLOOM_BACKEND")
