"""Files that were cut, flipped and stuffed at random: each reader answers, or says what is wrong, soon."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

import genloom
from genloom.errors import GenLoomError
from genloom.runs import Run, create_run, list_runs, load, save

STUFFING = (b"9" * 400, b"[" * 3000, b"{" * 3000, b"-1", b"1e400", b"nan", b"null", b'"', b"\n", b"\0" * 9, b"\xff" * 4)
LONGEST = 5.0  # seconds of processor time for a file of some hundred bytes, of which reading takes milliseconds


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """One to four faults in a file that was whole: bits flipped, parts cut out, doubled or stuffed in."""
    content = whole
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        middle = {
            "flip": bytes([content[start] ^ 1 << draw(st.integers(0, 7))]) if start < len(content) else b"",
            "cut": b"",
            "double": content[start:end] * 2,
            "stuff": draw(st.sampled_from(STUFFING)),
            "noise": draw(st.binary(max_size=20)),
        }
        fault = draw(st.sampled_from(sorted(middle)))
        content = content[:start] + middle[fault] + content[start + 1 if fault == "flip" else end :]
    return content


def npz(folder: Path) -> Path:
    x = np.arange(40, dtype="float32").reshape(10, 4)
    np.savez(folder / "some.npz", x=x, label=np.arange(10) % 2)
    return folder / "some.npz"


def idx(folder: Path) -> Path:
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 9) + bytes(k % 3 for k in range(9)))
    images = folder / "train-images-idx3-ubyte"
    images.write_bytes(struct.pack(">IIII", 0x803, 9, 4, 4) + bytes(range(9 * 16)))
    return images


def jsonl(folder: Path) -> Path:
    lines = [json.dumps({"prompt": f"{n} + 1 = ", "completion": f"{n + 1}"}) for n in range(12)]
    (folder / "some.jsonl").write_text("\n".join(lines))
    return folder / "some.jsonl"


def png(folder: Path) -> Path:
    for name in "abcdefghij":
        Image.fromarray(np.full((6, 5, 3), ord(name), "uint8")).save(folder / f"{name}.png")
    return folder / "a.png"


def a_run(folder: Path) -> Run:
    run = create_run(folder / "run")
    training = {"epochs": 2, "steps_per_epoch": 5, "batch_size": 4}
    run.write_config({"model": {"id": "vae/mlp"}, "data": {"address": "digits"}, "training": training})
    run.append_log({"step": 5, "epoch": 1, "losses": {"vae": 1.5}, "seconds": 0.5})
    run.append_log({"step": 10, "epoch": 2, "losses": {"vae": 1.25}, "status": "finished"})
    run.write_metrics([{"name": "fd", "value": 1.5, "n": 10}])
    save(run, 10, {"w": np.arange(6, dtype="float32")}, {"spec": {"shape": [2, 3]}})
    return run


def of_run(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        run = a_run(folder)
        return next(run.latest().glob(name)) if name == "manifest.json" else run.path / name

    return make


def listed(path: Path) -> None:
    run = Run(path.parent)
    list_runs(path.parent.parent)
    for ask in (
        lambda: run.config,
        lambda: run.planned_steps,
        lambda: list(run.log()),
        lambda: run.status,
        run.metrics,
    ):
        with contextlib.suppress(GenLoomError):
            ask()


#: What is damaged, and how it is read.
READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "run.toml": (of_run("run.toml"), listed),
    "log.jsonl": (of_run("log.jsonl"), listed),
    "metrics.json": (of_run("metrics.json"), listed),
    "manifest.json": (of_run("manifest.json"), lambda path: load(path.parent)),
    "npz": (npz, lambda path: genloom.data.open(f"npz:{path}")),
    "idx": (idx, lambda path: genloom.data.open(f"idx:{path.parent}")),
    "pictures": (png, lambda path: genloom.data.open(f"images:{path.parent}")),
    "jsonl": (jsonl, lambda path: genloom.data.open(f"jsonl:{path}?tokenizer=char&length=17")),
}


@pytest.mark.any_engine
@pytest.mark.parametrize("kind", READERS)
def test_a_reader_of_a_damaged_file_answers_or_says_what_is_wrong(
    kind: str, tmp_path: Path, tries: Callable[[int, int], int], count: Callable[[str, int, str], None]
) -> None:
    make, read = READERS[kind]
    file = make(tmp_path)
    whole = file.read_bytes()
    read(file)  # whole, it is read
    outcomes = {"read": 0, "refused": 0}

    def attempt(content: bytes) -> None:
        file.write_bytes(content)
        began = time.process_time()
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                read(file)
            outcomes["read"] += 1
        except GenLoomError as error:
            outcomes["refused"] += 1
            assert error.message
        assert time.process_time() - began < LONGEST

    until = time.monotonic() + tries(3, 75)  # seconds: ten minutes in full, half a minute otherwise
    seed = 0
    while time.monotonic() < until:
        settings = hypothesis.settings(
            max_examples=40, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
        )
        hypothesis.seed(seed)(settings(hypothesis.given(damaged(whole))(attempt)))()
        seed += 1
    assert outcomes["refused"] > 0 or kind in ("run.toml", "log.jsonl", "metrics.json")  # which are listed as damaged
    count(
        f"{kind}, one to four faults at random",
        sum(outcomes.values()),
        "it is read, or a GenLoom error says what is wrong",
    )
