"""From a word to adapters: `lora:rank=8`, `dora`, `ia3`, `soft:vectors=16`, `prefix`."""

from __future__ import annotations

import dataclasses
import zlib
from typing import TYPE_CHECKING, Any

from genloom.adaptation.adapters import attach, targets
from genloom.adaptation.ia3 import IA3, IA3Options, sides
from genloom.adaptation.lora import DoRAOptions, LoRAOptions
from genloom.arguments import instance
from genloom.errors import ConfigError, nearest
from genloom.model.initializers import reseed
from genloom.options import configure, option, parse_assignments

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["AdapterOptions", "PrefixOptions", "SoftOptions", "adapt", "parse_adapter"]


@dataclasses.dataclass(frozen=True)
class SoftOptions:
    """Options of `soft`: learned vectors before the inputs of a family that takes prompts (Lester et al. 2021)."""

    vectors: int = option(8, "how many", minimum=1)


@dataclasses.dataclass(frozen=True)
class PrefixOptions(SoftOptions):
    """Options of `prefix`: learned keys and values before those of every layer (Li and Liang 2021)."""


AdapterOptions = LoRAOptions | IA3Options | SoftOptions

_KINDS: dict[str, type] = {
    "lora": LoRAOptions,
    "dora": DoRAOptions,
    "ia3": IA3Options,
    "soft": SoftOptions,
    "prefix": PrefixOptions,
}


def parse_adapter(text: str) -> AdapterOptions:
    """Read the name of a kind with its options after a colon: `lora:rank=4,target=*query|*value`.

    Raises:
        ConfigError: another kind, or an unknown option.
    """
    name, _, rest = text.partition(":")
    kind = _KINDS.get(name.strip())
    if kind is None:
        raise ConfigError(f"There is no adapter {name!r}.{nearest(name, _KINDS)}", mend=f"Use {', '.join(_KINDS)}.")
    values = parse_assignments(item for item in rest.split(",") if item.strip())
    found: AdapterOptions = configure(kind, values, named=f"{name.strip()}:{{}}".format)
    return found


def adapt(model: GenerativeModel, options: AdapterOptions, seed: int = 0) -> None:
    """Freeze a model and put adapters on it; with those of layers it computes what it did until they are trained.

    Args:
        model: any family's; soft prompts and prefixes need one that takes them.
        options: which adapters, and of which layers.
        seed: of the adapters' initial weights.

    Raises:
        ConfigError: it is adapted already, no linear layer has such a name, ia3 is to scale both sides of one, or the
            family takes no prompts.
    """
    instance("options", options, AdapterOptions, "options of adapters", mend="Read them: parse_adapter('lora:rank=8').")
    if isinstance(options, SoftOptions):
        attach(model, {"prompt": _prompt(model, options, seed)})
        return
    adapters: dict[str, Any]
    if isinstance(options, IA3Options):
        adapters = {path: IA3(layer, side) for path, (layer, side) in sides(model, options).items()}
    else:
        adapters = {path: options.adapter(layer) for path, layer in targets(model, options.target).items()}
    for path, adapter in adapters.items():
        reseed(adapter, seed ^ zlib.crc32(path.encode()))
    attach(model, adapters)


def _prompt(model: GenerativeModel, options: SoftOptions, seed: int) -> Any:
    """Ask the family for a prompt: `new_prompt(kind, vectors, seed)` returns a layer with `kind` and `vectors`."""
    kind = "prefix" if isinstance(options, PrefixOptions) else "soft"
    if model.adapters:
        raise ConfigError("This model is adapted already.", mend="Call merge(model) or detach(model) first.")
    return model.new_prompt(kind, options.vectors, seed)
