"""Write docs/results/digits.md from the report of a demo: `python docs/make_results.py runs/demo/report.json`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "results" / "digits.md"
HEAD = """# Three families on the embedded digits

`genloom demo` with {engines} installed, on {cores} processor cores, {seconds:.0f} s in all. Mean and standard
deviation over the seeds {seeds} of {n} samples against {n} held-out digits. The floor is what real training digits
score at the same n; the opponents are a Gaussian mixture of ten, one Gaussian, and independent pixels.

```
genloom demo && python docs/make_results.py runs/demo/report.json
```
"""
OPPONENTS = ("mixture", "gaussian", "marginals")


def row(*cells: object) -> str:
    """Return one Markdown row."""
    return f"| {' | '.join(map(str, cells))} |"


def table(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    """Return a Markdown table."""
    return ["", row(*names), row(*["---"] * len(names)), *(row(*cells) for cells in rows)]


def score(name: str, families: list[dict[str, Any]]) -> tuple[Any, ...]:
    """Return the row of one score: each family's, the floor and the opponents."""
    metrics = [family["metrics"][name] for family in families]
    shown = [f"{m['value']:.3f} ± {m['spread'] or 0:.3f}" for m in metrics]
    opponents = metrics[0]["opponents"] or {}
    others = [f"{opponents[o]:.3f}" if o in opponents else "" for o in OPPONENTS]
    return (f"`{name}`", *shown, f"{metrics[0]['floor']:.3f}", *others)


def page(report: dict[str, Any]) -> str:
    """Return the page of a report."""
    families = report["families"]
    names = [f"`{family['id']}`" for family in families]
    first = families[0]["metrics"]
    engines, seeds = ", ".join(report["engines"]), ", ".join(map(str, report["seeds"]))
    n = first["fd[pca20]"]["n"]
    lines = [HEAD.format(engines=engines, cores=os.cpu_count(), seconds=report["seconds"], seeds=seeds, n=n).rstrip()]
    lines += table(("", *names, "real data", *OPPONENTS), [score(name, families) for name in first])
    costs = {
        "parameters": "{parameters:,}",
        "training, s": "{train_seconds:.1f}",
        "peak memory, MB": "{peak_memory_mb:.0f}",
        "seconds per 1,000 samples": "{sample_seconds_per_1000:.3g}",
        "network evaluations per 1,000 samples": "{network_evaluations_per_1000:,.0f}",
    }
    rows: list[tuple[Any, ...]] = [(k, *(form.format(**f["cost"]) for f in families)) for k, form in costs.items()]
    rows.append(("largest difference between engines", *(f"{f['largest_difference']:.1e}" for f in families)))
    lines += table(("", *names), rows)
    bars = [
        (name, f"{b['value']:.3f}", b["limit"], "met" if b["met"] else "missed") for name, b in report["bars"].items()
    ]
    lines += table(("bar, worst seed", "measured", "at most", ""), bars)
    return "\n".join([*lines, *behind(first["fd[pca20]"]["opponents"]["mixture"], families)]) + "\n"


def behind(mixture: float, families: list[dict[str, Any]]) -> list[str]:
    """Say which families lose to the mixture, the opponent that counts."""
    lost = [f["id"] for f in families if f["metrics"]["fd[pca20]"]["value"] > mixture]
    said = f"Within this budget `{'`, `'.join(lost)}` does not reach the mixture of Gaussians on `fd[pca20]`."
    return ["", said] if lost else []


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(Path(sys.argv[1]).read_text("utf-8"))), encoding="utf-8")
