"""A log that was cut off at any byte: what is whole before the cut is read, and the run goes on writing after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genloom.runs import create_run, list_runs, save
from genloom.runs.directory import LOG

pytestmark = pytest.mark.any_engine

ENTRIES = [
    {"step": 1, "losses": {"größer": 1.25}},
    {"step": 12, "losses": {"loss": None}},
    {"step": 30, "status": "finished"},
]
NEXT = {"step": 31, "losses": {"loss": 1.0}}


@pytest.mark.parametrize("tail", [b"", b"\0" * 40, b"\xff\xfe"], ids=["cut", "zeros", "no text"])
def test_a_log_torn_at_any_byte_loses_its_torn_line_alone(
    tail: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str], count: Callable[[str, int, str], None]
) -> None:
    run = create_run(tmp_path / "run")
    run.write_config({"model": {"id": "a"}})
    save(run, 30, {"w": np.zeros(1)})
    for entry in ENTRIES:
        run.append_log(entry)
    text = (run.path / LOG).read_bytes()
    for cut in range(len(text) + 1):
        (run.path / LOG).write_bytes(text[:cut] + tail)
        whole = ENTRIES[: text[:cut].count(b"\n")]
        assert list(run.log()) == whole
        assert run.status == ("finished" if len(whole) == len(ENTRIES) else "interrupted")
        (row,) = list_runs(tmp_path)
        assert row["step"] == (whole[-1]["step"] if whole else 0)
        run.append_log(NEXT)
        assert list(run.log()) == [*whole, NEXT]
        run.rewind_log(12)
        kept = [entry for entry in whole if entry["step"] <= 12]
        assert [json.loads(line) for line in (run.path / LOG).read_bytes().splitlines()] == kept
    assert capfd.readouterr().err == ""
    strange = f", {len(tail)} other bytes after it" if tail else ""
    count(
        f"the log cut off at any byte{strange}", len(text) + 1, "whole lines are read, and the run writes on after them"
    )
