"""Lay measured runs side by side; no model is opened, so no Keras is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genloom.arguments import many
from genloom.errors import ConfigError
from genloom.metrics.measured import row
from genloom.metrics.table import table
from genloom.runs import Run, open_run
from genloom.runs.usable import usable

__all__ = ["compare"]


def compare(runs: Sequence[Run | str | Path]) -> dict[str, Any]:
    """Lay measured runs side by side; scores with different fingerprints get columns of their own.

    Args:
        runs: run directories or their paths, each evaluated before.

    Returns:
        schema_version, columns, rows, references (floor and opponents) and spread over seeds: see
        `genloom.metrics.table.table`. A row says the "step" that was measured and whether its scores are "outdated",
        the run having been trained further since. "damaged" names the runs whose files cannot be read: they are left
        out, and stderr says why.

    Raises:
        ConfigError: no runs, or one that is none or was not evaluated.
        RunError: all runs are damaged.
    """
    named: list[Any] = [] if runs is None else many("runs", runs, object, "a list of runs or their paths")
    if not named:
        raise ConfigError("There is nothing to compare.", mend="Name one run or more.")
    rows, damaged = usable(named, lambda run: row(run if isinstance(run, Run) else open_run(run)))
    return {**table(rows), "damaged": list(damaged)}
