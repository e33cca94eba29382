"""Fine-tuning by a few parameters, and learning on without forgetting, for every family."""

from __future__ import annotations

from genloom.adaptation.ancestry import ancestors, old_data
from genloom.adaptation.files import load_adapters, save_adapters
from genloom.adaptation.lora import LoRA, LoRAOptions, adapt, merge, parse_adapter
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
    "L2SP",
    "LoRA",
    "LoRAOptions",
    "LwF",
    "Replay",
    "adapt",
    "ancestors",
    "load_adapters",
    "merge",
    "needs_memory",
    "old_data",
    "parse_adapter",
    "parse_retention",
    "rehearsed",
    "retain",
    "save_adapters",
]
