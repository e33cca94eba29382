"""Options: every layer is read by the field's type, later layers win, and mistakes are named with their mend."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

import genloom
from genloom.errors import ConfigError, PluginError
from genloom.model import GenerativeModel
from genloom.options import RESERVED, configure, describe, option, parse_assignments
from genloom.plugins.offers import Component
from genloom.plugins.registry import chosen
from genloom.postprocess import chain

pytestmark = pytest.mark.any_engine


@dataclasses.dataclass(frozen=True)
class Demo:
    latent: int = option(2, "dimensions of the latent space", minimum=1)
    widths: tuple[int, ...] = option((32, 64), "channels per level", minimum=1)
    size: tuple[int, float] = option((1, 2.0), "a pair")
    beta: float = option(1.0, "weight of the KL term", minimum=0.0, maximum=10.0)
    loss: str = option("mse", "reconstruction loss", choices=("mse", "bce"))
    mode: Literal["a", 3] = option("a", "a literal")
    flag: bool = option(False, "a switch")
    clip: float | None = option(None, "gradient norm", minimum=0.0)
    anything: Any = option(None, "not checked")  # noqa: RUF009


@dataclasses.dataclass(frozen=True)
class Needed:
    path: str


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("latent", "16", 16),
        ("latent", 16.0, 16),
        ("latent", np.int64(3), 3),
        ("widths", "8,16", (8, 16)),
        ("widths", "(8, 16)", (8, 16)),
        ("widths", [8], (8,)),
        ("widths", "", ()),
        ("size", "3,0.5", (3, 0.5)),
        ("beta", 1, 1.0),
        ("beta", "1e-3", 0.001),
        ("loss", "bce", "bce"),
        ("mode", "3", 3),
        ("flag", "true", True),
        ("flag", "off", False),
        ("clip", "none", None),
        ("clip", "0.5", 0.5),
    ],
)
def test_values_are_read_by_the_type_of_the_field(name: str, given: Any, read: Any) -> None:
    value = getattr(configure(Demo, {name: given}), name)
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"laten": 1}, "Unknown option 'laten'. Did you mean 'latent'?"),
        ({"latent": 0}, "must be at least 1, got 0"),
        ({"latent": 1.5}, "needs a whole number, got 1.5"),
        ({"latent": True}, "needs a whole number, got True"),
        ({"latent": "x"}, "needs a whole number, got 'x'"),
        ({"widths": "8,0"}, "must be at least 1, got 0"),
        ({"size": "1"}, "needs a list of a whole number, a number, got '1'"),
        ({"beta": 11}, "must be at most 10.0, got 11"),
        ({"beta": "nan"}, "needs a number, got 'nan'"),
        ({"beta": True}, "needs a number, got True"),
        ({"loss": "msee"}, "cannot be 'msee'. Did you mean 'mse'? Use one of mse, bce."),
        ({"loss": 3}, "needs text, got 3"),
        ({"mode": "b"}, "got 'b'"),
        ({"flag": 2}, "needs true or false, got 2"),
        ({"clip": -1}, "must be at least 0.0, got -1"),
    ],
)
def test_a_mistake_is_named_with_the_value_received(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(Demo, values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"latent": 0}, r"Option 'model\.latent' must be at least 1, got 0"),
        ({"latent": "x"}, r"Option 'model\.latent' needs a whole number, got 'x'"),
        ({"loss": "msee"}, r"Option 'model\.loss' cannot be 'msee'"),
        ({"laten": 1}, r"Unknown option 'model\.laten'. Did you mean 'model\.latent'\? Options: model\.latent, "),
    ],
)
def test_an_option_is_named_as_it_was_typed(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(Demo, given, named="model.{}".format)


@pytest.mark.parametrize(
    ("read", "text", "typed"),
    [
        (lambda text: chosen("adapter", text), "lora:rank=0", "adapt/lora:rank"),
        (lambda text: chosen("remedy", text), "ewc:samples=0", "adapt/ewc:samples"),
        (chain, ["upscale:factor=0"], "upscale:factor"),
        (genloom.data.open, "toy:8-ring?n=0", r"toy\?n"),
    ],
)
def test_an_option_after_a_name_is_named_with_it(read: Callable[[Any], Any], text: Any, typed: str) -> None:
    with pytest.raises(ConfigError, match=rf"Option '{typed}' must be at least \d, got 0"):
        read(text)


def test_later_layers_win_and_untouched_defaults_stay() -> None:
    made = configure(Demo, {"latent": 3, "beta": 2}, {"beta": "4"}, {})
    assert (made.latent, made.beta, made.loss) == (3, 4.0, "mse")


def test_dashes_and_underscores_name_the_same_option() -> None:
    @dataclasses.dataclass(frozen=True)
    class Rate:
        learning_rate: float = option(0.1, "rate")

    assert configure(Rate, {"learning-rate": "0.5"}).learning_rate == 0.5
    assert parse_assignments(["learning-rate=0.5"]) == {"learning_rate": "0.5"}


def test_an_option_without_default_must_be_given() -> None:
    with pytest.raises(ConfigError, match="'path' has no default"):
        configure(Needed)
    assert configure(Needed, {"path": "x"}) == Needed("x")


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Demo().latent = 5  # type: ignore[misc]


def test_describe_gives_one_row_per_option() -> None:
    rows = {row["name"]: row for row in describe(Demo)}
    assert list(rows) == [field.name for field in dataclasses.fields(Demo)]
    assert rows["widths"]["type"] == "tuple[int, ...]"
    assert rows["clip"]["type"] == "float | None"
    assert rows["loss"] == {
        "name": "loss",
        "type": "str",
        "default": "mse",
        "help": "reconstruction loss",
        "choices": ("mse", "bce"),
        "minimum": None,
        "maximum": None,
    }


@pytest.mark.parametrize("words", [["latent"], ["=3"], ["a=1", "a=2"]])
def test_a_malformed_or_repeated_assignment_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError):
        parse_assignments(words)


def test_a_value_may_hold_equals_signs() -> None:
    assert parse_assignments(["a=b=c", "training.clip = 1"]) == {"a": "b=c", "training.clip": "1"}


@dataclasses.dataclass(frozen=True)
class Noisy:
    noise: float = option(0.0, "of samples")


@dataclasses.dataclass(frozen=True)
class Networked:
    encoder: int = option(8, "width of the encoder")


def test_an_option_that_nobody_could_set_is_refused_where_it_is_defined() -> None:
    with pytest.raises(PluginError, match="Noise has an option 'noise', which is an argument"):

        class Noise(GenerativeModel):
            Options = Noisy

    with pytest.raises(PluginError, match="Coder has an option 'encoder', which is an argument"):

        class Coder(GenerativeModel):
            Options = Networked

            def __init__(self, spec: Any, options: Any = None, *, encoder: Any = None, **values: Any) -> None:
                super().__init__(spec, options, **values)

    with pytest.raises(PluginError, match="'my/noisy' has an option 'noise', which is an argument"):
        Component("model", "my/noisy", "my:Noisy", "Noisy.", options=Noisy)
    Component("postprocessor", "my/noisy", "my:noisy", "Noisy.", options=Noisy)


def test_reserved_names_are_the_arguments_of_create_and_of_every_constructor() -> None:
    taken = {
        parameter.name
        for fn in (genloom.create, GenerativeModel.__init__, Component.configure)
        for parameter in inspect.signature(fn).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    assert set(RESERVED) == taken
