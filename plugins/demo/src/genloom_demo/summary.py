"""The demo's results: one JSON document with its bars, and the page that shows them."""

from __future__ import annotations

import html
import itertools
import json
import statistics
from pathlib import Path
from typing import Any

from genloom.files.atomic import write_atomic
from genloom.runs import Run
from genloom_demo import plugin
from genloom_demo.plan import FAMILIES, Demo

__all__ = ["BARS", "ENGINE_TOLERANCE", "summarise", "write_report"]

#: Highest Fréchet distance on 20 principal components of the 8×8 digits (real .070, a mixture of ten .129): the worst
#: seed and the range of the seeds beside it, docs/results/digits.md.
BARS = {"vae": 0.15, "gan": 0.13, "diffusion": 0.18}
ENGINE_TOLERANCE = 1e-4  # on the value range [0, 1]

_SCORES = ("fd[pca20]", "fd[classifier32]", "precision", "recall", "density", "coverage", "class-agreement")


def summarise(demo: Demo) -> dict[str, Any]:
    """Return the demo's report as plain values, from what the runs and sample files say."""
    ledger = demo.ledger()
    families = [_family(demo, name, ledger) for name in FAMILIES]
    differences = {f["family"]: f["largest_difference"] for f in families if f["largest_difference"] is not None}
    largest = max(differences.values(), default=None)
    return {
        "schema_version": 1,
        "data": demo.data,
        "quick": demo.quick,
        "engines": list(demo.engines),
        "seeds": list(demo.seeds),
        "families": families,
        "bars": _bars(demo, families),
        "largest_difference": largest,
        "plugin": plugin.result(demo.plugin_path),
        "engines_agree": None if largest is None else largest <= ENGINE_TOLERANCE,
        "seconds": sum(cost["seconds"] for cost in ledger.values()),
    }


def _family(demo: Demo, family: str, ledger: dict[str, Any]) -> dict[str, Any]:
    runs = [Run(demo.run_path(family, seed)) for seed in demo.seeds]
    tables = [{entry["name"]: entry for entry in run.metrics()} for run in runs]
    trained = [ledger.get(f"train {family} {seed}", {}) for seed in demo.seeds]
    differences = engine_differences(demo, family)
    evaluations = tables[0].get("network evaluations", {}).get("value", 1.0)
    return {
        "family": family,
        "id": FAMILIES[family],
        "runs": [str(run.path) for run in runs],
        "metrics": {name: _metric([table[name] for table in tables]) for name in _SCORES if name in tables[0]},
        "cost": {
            "parameters": runs[0].parameters or 0,
            "train_seconds": statistics.mean(_seconds(run) for run in runs),
            "peak_memory_mb": max((cost.get("peak_memory_mb") or 0.0 for cost in trained), default=0.0),
            "sample_seconds_per_1000": tables[0].get("seconds per 1,000 samples", {}).get("value"),
            "network_evaluations_per_1000": None if evaluations is None else 1000.0 * evaluations,
        },
        "engine_differences": differences,
        "largest_difference": max(differences.values(), default=None),
    }


def _metric(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over the seeds, beside the floor and the opponents, which are the same for all."""
    values = [entry["value"] for entry in entries]
    return {
        "value": statistics.mean(values),
        "spread": statistics.stdev(values) if len(values) > 1 else None,
        "values": values,
        **{key: entries[0].get(key) for key in ("n", "floor", "opponents", "lower_is_better", "fingerprint")},
    }


def _seconds(run: Run) -> float:
    return float(max((entry.get("seconds", 0.0) for entry in run.log()), default=0.0))


def engine_differences(demo: Demo, family: str) -> dict[str, float]:
    """Return "a-b" → largest absolute difference of the same 64 samples drawn on engines a and b."""
    import numpy as np

    drawn = {}
    for engine in demo.engines:
        path = demo.array_path(family, engine)
        if path.exists():
            with np.load(path, allow_pickle=False) as file:
                drawn[engine] = file["samples"].astype("float64")
    pairs = itertools.combinations(drawn, 2)
    return {f"{a}-{b}": float(np.abs(drawn[a] - drawn[b]).max()) for a, b in pairs}


def _bars(demo: Demo, families: list[dict[str, Any]]) -> dict[str, Any]:
    """The bars hold for the embedded digits after a whole demo, for every seed."""
    if demo.quick or not demo.data.startswith("digits"):
        return {}
    bars = {}
    for family in families:
        worst, limit = max(family["metrics"]["fd[pca20]"]["values"]), BARS[family["family"]]
        bars[f"{family['family']} fd[pca20]"] = {"value": worst, "limit": limit, "met": worst <= limit}
    return bars


def write_report(demo: Demo, found: dict[str, Any]) -> tuple[Path, Path]:
    """Write OUT/report.json and OUT/report.html; return both paths."""
    from genloom import compare
    from genloom.report import Section, write_comparison

    runs = [path for family in found["families"] for path in family["runs"]]
    as_json = demo.out / "report.json"
    write_atomic(as_json, json.dumps(found, indent=2).encode())
    page = write_comparison(runs, demo.out / "report.html", compare(runs), [Section("Cost and engines", _table(found))])
    return as_json, page


def _table(found: dict[str, Any]) -> str:
    headings = ("", *(family["family"] for family in found["families"]))
    rows = [
        ("parameters", [f"{f['cost']['parameters']:,}" for f in found["families"]]),
        ("training, s (mean of the seeds)", [f"{f['cost']['train_seconds']:.1f}" for f in found["families"]]),
        ("peak memory, MB", [f"{f['cost']['peak_memory_mb']:.0f}" for f in found["families"]]),
        ("seconds per 1,000 samples", [_number(f["cost"]["sample_seconds_per_1000"]) for f in found["families"]]),
        ("network evaluations per 1,000 samples", [_count(f) for f in found["families"]]),
        ("largest difference between engines", [_number(f["largest_difference"]) for f in found["families"]]),
    ]
    head = "".join(f"<th>{html.escape(word)}</th>" for word in headings)
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
        for name, cells in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _count(family: dict[str, Any]) -> str:
    value = family["cost"]["network_evaluations_per_1000"]
    return "" if value is None else f"{value:,.0f}"


def _number(value: float | None) -> str:
    return "one engine installed" if value is None else f"{value:.3g}"
