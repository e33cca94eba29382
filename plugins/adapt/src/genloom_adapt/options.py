"""What adapters and remedies take, light enough for `genloom list`."""

from __future__ import annotations

import dataclasses
import math

from genloom import option

__all__ = [
    "AdapterOptions",
    "DoRAOptions",
    "EWCOptions",
    "IA3Options",
    "L2SPOptions",
    "LoRAOptions",
    "LwFOptions",
    "PrefixOptions",
    "ReplayOptions",
    "SoftOptions",
]


@dataclasses.dataclass(frozen=True)
class LoRAOptions:
    """Options of `lora` (Hu et al. 2022)."""

    rank: int = option(8, "rank of what is added to each matrix, at most its own", minimum=1)
    alpha: float = option(16.0, "its weight, divided by the rank", minimum=0.0)
    dropout: float = option(0.0, "share of the inputs that adapters do not see in training", minimum=0.0, maximum=0.9)
    target: str = option("*", "names of the linear layers, with * and ?; several with | between, such as *query|*value")
    scaling: str = option(
        "lora", "rslora divides by the rank's root instead (Kalajdzievski 2023)", choices=("lora", "rslora")
    )

    @property
    def scale(self) -> float:
        """What B A x is multiplied by."""
        return self.alpha / (self.rank if self.scaling == "lora" else math.sqrt(self.rank))


@dataclasses.dataclass(frozen=True)
class DoRAOptions(LoRAOptions):
    """Options of `dora` (Liu et al. 2024)."""


@dataclasses.dataclass(frozen=True)
class IA3Options:
    """Options of `ia3`; the defaults are the paper's for a transformer (its section 3.3)."""

    target: str = option("*key|*value", "names of the layers whose outputs are scaled")
    inputs: str = option("*down", "names of the layers whose inputs are scaled; none when empty")


@dataclasses.dataclass(frozen=True)
class SoftOptions:
    """Options of `soft`: learned vectors before the inputs of a family that takes prompts (Lester et al. 2021)."""

    vectors: int = option(8, "how many", minimum=1)


@dataclasses.dataclass(frozen=True)
class PrefixOptions(SoftOptions):
    """Options of `prefix`: learned keys and values before those of every layer (Li and Liang 2021)."""


AdapterOptions = LoRAOptions | IA3Options | SoftOptions


@dataclasses.dataclass(frozen=True)
class ReplayOptions:
    """Options of `replay`."""

    share: float = option(0.2, "share of the samples that are old", minimum=0.001, maximum=0.999)


@dataclasses.dataclass(frozen=True)
class L2SPOptions:
    """Options of `l2sp`."""

    strength: float = option(0.01, "λ", minimum=0.0)


@dataclasses.dataclass(frozen=True)
class EWCOptions:
    """Options of `ewc`."""

    strength: float = option(1.0, "λ", minimum=0.0)
    samples: int = option(256, "old samples that F is the mean of", minimum=1)


@dataclasses.dataclass(frozen=True)
class LwFOptions:
    """Options of `lwf`."""

    strength: float = option(1.0, "λ", minimum=0.0)
    temperature: float = option(2.0, "of both distributions, for families that have one", minimum=0.01)
