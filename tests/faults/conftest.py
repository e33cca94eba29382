"""Faults done on purpose, each tried many times: a few tries in every test run, all of them in `nox -s faults`.

With FAULTS_LEDGER=FILE each test makes its full number of tries, and what `count` was told is written to FILE, a line
of JSON each; `docs/make_reliability.py` makes the page from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

FULL = os.environ.get("FAULTS_LEDGER")


@pytest.fixture
def tries() -> Callable[[int, int], int]:
    """How often to try: `tries(short, full)`."""
    return lambda short, full: full if FULL else short


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[str, int, str], None]:
    """Note what held, after the assertions: `count(fault, tries, outcome)`, once per fault."""

    def note(fault: str, tries: int, outcome: str) -> None:
        assert tries > 0, f"{fault}: nothing was tried"
        if FULL:
            line = {"family": request.path.stem.removeprefix("test_"), "fault": fault, "tries": tries}
            line |= {"outcome": outcome, "test": request.node.nodeid, "engine": keras.backend.backend()}
            with Path(FULL).open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(line) + "\n")

    return note
