"""Fine-tuning by a few parameters, and learning on without forgetting, for every family."""

from __future__ import annotations

from genloom.adaptation.adapters import Adapter, detach, merge, unmerge
from genloom.adaptation.ancestry import ancestors, old_data
from genloom.adaptation.choosing import AdapterOptions, PrefixOptions, SoftOptions, adapt, parse_adapter
from genloom.adaptation.files import load_adapters, save_adapters, swap_adapters
from genloom.adaptation.ia3 import IA3, IA3Options
from genloom.adaptation.lora import DoRA, DoRAOptions, LoRA, LoRAOptions
from genloom.adaptation.retention import (
    AGEM,
    EWC,
    L2SP,
    LwF,
    Replay,
    needs_memory,
    parse_retention,
    rehearsed,
    retain,
)

__all__ = [
    "AGEM",
    "EWC",
    "IA3",
    "L2SP",
    "Adapter",
    "AdapterOptions",
    "DoRA",
    "DoRAOptions",
    "IA3Options",
    "LoRA",
    "LoRAOptions",
    "LwF",
    "PrefixOptions",
    "Replay",
    "SoftOptions",
    "adapt",
    "ancestors",
    "detach",
    "load_adapters",
    "merge",
    "needs_memory",
    "old_data",
    "parse_adapter",
    "parse_retention",
    "rehearsed",
    "retain",
    "save_adapters",
    "swap_adapters",
    "unmerge",
]
