"""The plugin `adapt`: fine-tuning by a few parameters, and learning on without forgetting, for every family.

Its components and commands are listed without Keras; the names below are imported when they are first used.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from genloom import Component, hookimpl
from genloom.report import Section
from genloom_adapt import options
from genloom_adapt.options import (
    AdapterOptions,
    DoRAOptions,
    EWCOptions,
    IA3Options,
    L2SPOptions,
    LoRAOptions,
    LwFOptions,
    PrefixOptions,
    ReplayOptions,
    SoftOptions,
)

if TYPE_CHECKING:
    from genloom.runs import Run
    from genloom_adapt.adapter import Adapter
    from genloom_adapt.adapting import adapt, adapters, detach, merge, unmerge
    from genloom_adapt.ancestry import ancestors, old_data
    from genloom_adapt.files import load_adapters, save_adapters, swap_adapters
    from genloom_adapt.measures import average, backward_transfer, forgetting, forward_transfer
    from genloom_adapt.remedies import AGEM, EWC, L2SP, LwF, Replay
    from genloom_adapt.sequence import Sequence, Task, read_sequence, run_sequence
    from genloom_adapt.updating import rollback, update

__all__ = [
    "AGEM",
    "EWC",
    "L2SP",
    "Adapter",
    "AdapterOptions",
    "DoRAOptions",
    "EWCOptions",
    "IA3Options",
    "L2SPOptions",
    "LoRAOptions",
    "LwF",
    "LwFOptions",
    "PrefixOptions",
    "Replay",
    "ReplayOptions",
    "Sequence",
    "SoftOptions",
    "Task",
    "adapt",
    "adapters",
    "ancestors",
    "average",
    "backward_transfer",
    "detach",
    "forgetting",
    "forward_transfer",
    "load_adapters",
    "merge",
    "old_data",
    "read_sequence",
    "rollback",
    "run_sequence",
    "save_adapters",
    "swap_adapters",
    "unmerge",
    "update",
]

_HOMES = {
    "adapter": ("Adapter",),
    "adapting": ("adapt", "adapters", "detach", "merge", "unmerge"),
    "ancestry": ("ancestors", "old_data"),
    "files": ("load_adapters", "save_adapters", "swap_adapters"),
    "measures": ("average", "backward_transfer", "forgetting", "forward_transfer"),
    "remedies": ("AGEM", "EWC", "L2SP", "LwF", "Replay"),
    "sequence": ("Sequence", "Task", "read_sequence", "run_sequence"),
    "updating": ("rollback", "update"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


@hookimpl
def genloom_components() -> list[Component]:
    """Return the adapters and the remedies against forgetting."""
    return [
        _adapter("lora", options.LoRAOptions, "Train a low-rank term beside each linear layer."),
        _adapter("dora", options.DoRAOptions, "The same, with a learned length of each output."),
        _adapter("ia3", options.IA3Options, "Train a factor for each activation."),
        _adapter("soft", options.SoftOptions, "Train vectors before the inputs of a family that takes prompts."),
        _adapter("prefix", options.PrefixOptions, "Train keys and values before those of every layer."),
        _remedy("replay", "Replay", options.ReplayOptions, "Train on old samples among the new ones."),
        _remedy("l2sp", "L2SP", options.L2SPOptions, "Stay near the weights that training starts from."),
        _remedy("ewc", "EWC", options.EWCOptions, "Stay near them where the old data need it."),
        _remedy("lwf", "LwF", options.LwFOptions, "Answer on new samples as the old model does."),
        _remedy("agem", "AGEM", None, "Take out of each step what would raise the loss of old samples."),
    ]


def _adapter(name: str, taken: type[Any], summary: str) -> Component:
    return Component("adapter", f"adapt/{name}", "genloom_adapt.adapting:Adapters", summary, options=taken)


def _remedy(name: str, target: str, taken: type[Any] | None, summary: str) -> Component:
    return Component("remedy", f"adapt/{name}", f"genloom_adapt.remedies:{target}", summary, options=taken)


@hookimpl
def genloom_commands() -> dict[str, tuple[str, str]]:
    """Return the commands `genloom update` and `genloom sequence`."""
    return {
        "update": ("genloom_adapt.update_command:update", "Learn from new data behind a gate, or take that back."),
        "sequence": (
            "genloom_adapt.sequence_command:sequence",
            "Learn tasks one after the other and see what is forgotten.",
        ),
    }


@hookimpl
def genloom_report_sections(run: Run) -> Iterable[Section]:
    """Return what became of a run's updates, nothing for one without any."""
    from genloom_adapt.section import updates

    return updates(run)
