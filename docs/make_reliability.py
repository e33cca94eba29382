"""Write docs/reliability.md from what `nox -s faults` counted: `python docs/make_reliability.py FILE.jsonl`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("reliability.md")
HEAD = """# What a run survives

Made by `python -m nox -s faults`, which does every fault on purpose, many times, on each engine. A test run tries each
a few times (`python -m pytest tests/faults`). A try counts here only after its outcome was asserted.

## What is promised

- **A kill at any instant loses the steps after the last checkpoint that was whole**: those since the last one was due
  and, where that one was still being written, those since the one before. `--set training.checkpoint_steps=N` (or the
  default, each epoch) bounds them. They are trained again to the same bits, on the same machine, engine and versions.
- **A file is whole or absent.** It is written beside its place, flushed and renamed. A checkpoint exists when both of
  its files do; their hashes are in its manifest, and the hashes of run.toml and of other kept files too.
- **What cannot be written is one error** with the file, the cause and what helps. What is damaged is said, never used.
- **A file is data.** Nothing in a run, a data set or a sync file is executed; sizes, depths, types and names are
  bounded before they are used. An installed plugin is code and is trusted, and so is `-p FILE`: see
  [security](../SECURITY.md).

## What was tried
"""


def rows(lines: Iterable[dict[str, Any]]) -> list[tuple[str, str, int, str, str]]:
    """Return family, fault, tries on all engines, engines, and outcome, in the order of first mention."""
    tries: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    engines: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for line in lines:
        key = line["family"], line["fault"], line["outcome"]
        tries[key] += line["tries"]
        if line["engine"] not in engines[key]:
            engines[key].append(line["engine"])
    return [(*key[:2], number, ", ".join(engines[key]), key[2]) for key, number in tries.items()]


def page(lines: Iterable[dict[str, Any]]) -> str:
    """Return the page of a ledger."""
    found = rows(lines)
    families = list(dict.fromkeys(family for family, *_ in found))
    parts = [HEAD]
    for family in families:
        command = f"python -m pytest tests/faults/test_{family}.py"
        parts += [f"\n### {family.replace('_', ' ').capitalize()}\n\n`{command}`\n"]
        parts += ["\n| fault | tries | engines | what holds |\n| --- | --- | --- | --- |\n"]
        parts += [
            f"| {fault} | {n:,} | {engines} | {outcome} |\n" for of, fault, n, engines, outcome in found if of == family
        ]
    total = sum(number for _, _, number, _, _ in found)
    parts += [f"\n{total:,} tries in all.\n"]
    return "".join(parts)


def main() -> None:
    """Write the page."""
    ledger = Path(sys.argv[1]).read_text("utf-8")
    PAGE.write_text(page(json.loads(line) for line in ledger.splitlines()), encoding="utf-8")


if __name__ == "__main__":
    main()
