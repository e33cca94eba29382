"""The page of a sequence: what each task did to the others, samples and losses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genloom.files.atomic import make_folder, write_atomic
from genloom.report import rendered
from genloom.report.curves import shared_panels
from genloom.report.definitions import definitions
from genloom.report.facts import latest_sample, texts
from genloom.runs import Run, open_run
from genloom_adapt.matrix import Matrix

__all__ = ["write_page"]

_TEMPLATE = Path(__file__).parent / "sequence.html.j2"
_TOLD = ("remedy", "average", "mean_forgetting", "backward_transfer", "forward_transfer")


def write_page(found: Mapping[str, Any], out: Path) -> Path:
    """Write what `run_sequence` found as one HTML file.

    Raises:
        ConfigError: a run that is gone.
    """
    runs = {name: open_run(run, head=False) for name, run in zip(found["tasks"], found["runs"], strict=True)}
    context = {
        "title": found["sequence"]["model"],
        "subtitle": f"{len(runs)} tasks, one after the other",
        "facts": [(name.replace("_", " ").capitalize(), _told(found[name])) for name in _TOLD],
        "matrix": Matrix(found["matrix"], found["tasks"], found["metric"], found["lower_is_better"]),
        "definitions": definitions([{"name": found["metric"]}]),
        "runs": [_shown(name, run) for name, run in runs.items()],
        "panels": shared_panels({name: [run] for name, run in runs.items()}),
        "sections": (),
    }
    make_folder(out.parent)
    write_atomic(out, rendered(_TEMPLATE, context).encode())
    return out


def _shown(name: str, run: Run) -> dict[str, Any]:
    newest = next((text for _, text in reversed(texts(run))), None)
    return {"name": name, "path": str(run.path), "generated": latest_sample(run, f"after {name}"), "text": newest}


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
