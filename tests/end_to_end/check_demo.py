"""Hold a demo's report.json to its promises, families, bars, engines, a plugin: `python check_demo.py FILE ENGINES`."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def failures(report: dict, engines: int) -> list[str]:
    """Return what the report of a demo on so many engines fails to show, one sentence each."""
    found = []
    families = [family["family"] for family in report["families"]]
    if families != ["vae", "gan", "diffusion"]:
        found.append(f"three families were expected, got {families}")
    if len(report["bars"]) != 3:
        found.append(f"three bars were expected, got {list(report['bars'])}")
    for name, bar in report["bars"].items():
        if not bar["value"] <= bar["limit"]:
            found.append(f"{name} is {bar['value']:.3f}, above {bar['limit']}")
    if len(report["engines"]) != engines:
        found.append(f"{engines} engines were expected, got {report['engines']}")
    if engines > 1 and not (report["largest_difference"] is not None and report["largest_difference"] <= 1e-4):
        found.append(f"engines differ by {report['largest_difference']}, above 1e-4")
    losses = (report["plugin"] or {}).get("losses", [])
    if len(losses) != 3 or not losses[-1] < losses[0]:
        found.append(f"a plugin that is written, installed and trained was expected, got {report['plugin']}")
    for family in report["families"]:
        if len(family["metrics"]["fd[pca20]"]["values"]) != 3:
            found.append(f"{family['family']} was not measured over three seeds")
    return found


if __name__ == "__main__":
    problems = failures(json.loads(Path(sys.argv[1]).read_text("utf-8")), int(sys.argv[2]))
    print(
        "\n".join(problems)
        or "The demo kept its promises: three families, bars met, engines agree, a plugin came and went."
    )
    sys.exit(1 if problems else 0)
