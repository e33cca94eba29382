"""The history of a run: a stretch for each length, place of data, machine and set of versions it was trained with.

run.toml holds them in order as `[[stretches]]`, each counting from its `step` on; none is ever taken out or changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

__all__ = ["TABLE", "begin", "changes", "history", "read"]

#: The table of run.toml.
TABLE = "stretches"


def read(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the stretches that a run.toml states, the first one first; [] for a run that was not trained."""
    found = config.get(TABLE)
    return [dict(each) for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def begin(config: Mapping[str, Any], step: int, now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the stretches of a run that goes on: one more where something changed.

    Args:
        config: what its run.toml states so far, {} for a new run.
        step: from which it goes on.
        now: what counts from there: steps in all, data, machine, versions.
    """
    earlier = read(config)
    return earlier if earlier and not changes(earlier[-1], now) else [*earlier, {"step": step, **now}]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what differs between two stretches, as "keras 3.15.1 → 3.15.2"; where they begin does not count."""
    was, now = _flat(before), _flat(after)
    names = [name for name in {**was, **now} if name != "step" and was.get(name) != now.get(name)]
    return [f"{name} {was.get(name, 'none')} → {now.get(name, 'none')}" for name in names]


def history(config: Mapping[str, Any]) -> str | None:
    """Return in one line what changed while a run was trained, since the run that it started from; None if nothing."""
    found, training = read(config), config.get("training")
    begun = training if isinstance(training, Mapping) else {}
    changed = begun.get("init_changed")
    parts = [f"from {begun.get('init_from')}: {', '.join(map(str, changed))}"] if isinstance(changed, list) else []
    parts += [
        f"from step {after.get('step')}: {', '.join(changes(before, after))}"
        for before, after in itertools.pairwise(found)
    ]
    return "; ".join(parts) or None


def _flat(stretch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stretch with its plugins' versions after the others; the core is a plugin of its own name."""
    plugins = stretch.get("plugins")
    own = {name: value for name, value in stretch.items() if name != "plugins"}
    return {**own, **(plugins if isinstance(plugins, Mapping) else {}), **own}
