"""Fine-tuning by a few parameters: a trained model is frozen, and small adapters learn what is new."""

from __future__ import annotations

from genloom.adaptation.files import load_adapters, save_adapters
from genloom.adaptation.lora import LoRA, LoRAOptions, adapt, merge, parse_adapter

__all__ = ["LoRA", "LoRAOptions", "adapt", "load_adapters", "merge", "parse_adapter", "save_adapters"]
