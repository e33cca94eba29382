"""Runs whose files are hostile: each is told of in bounded time, and never breaks what is said of the others."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from genloom import report
from genloom.errors import ConfigError, DamagedRunError, RunError
from genloom.evaluation.compare import compare
from genloom.files import bounded
from genloom.runs import Run, create_run, list_runs

pytestmark = pytest.mark.any_engine

CONFIG = {
    "model": {"id": "vae/conv", "seed": 3, "options": {}},
    "data": {"address": "digits", "fingerprint": "0123456789abcdef"},
    "training": {"epochs": 3, "steps_per_epoch": 10},
}
LINE = {"step": 10, "epoch": 1, "seconds": 2.0, "losses": {"loss": 0.5}, "rates": {"main": 1e-3}}
SCORE = {"name": "fd", "value": 1.0, "n": 9, "fingerprint": "a", "lower_is_better": True, "role": "score", "step": 10}
SECONDS = 5.0  # 100 kB of dotted keys took minutes

DEEP_TOML = {
    "dotted": "a" + ".a" * 50_000 + " = 1\n",
    "quoted": '"a"' + '."a"' * 25_000 + " = 1\n",
    "table": "[a" + ".a" * 50_000 + "]\n",
    "lists": "x = " + "[" * 50_000,
    "inline": "x = " + "{a=" * 33_000,
    "tables": "".join(f"[a{i}.b.c.d.e.f.g.h]\n" for i in range(100_000)),
    "keys": "".join(f"a.b.c.d.e.f.g.h{i} = 1\n" for i in range(100_000)),
    "unclosed": '\\"""\n' * 100_000,
    "digits": "x = " + "9" * 400 + "\n",
    "hexadecimal": "x = 0x" + "f" * 100_000 + "\n",
}
LINES = {
    "type": '{"step": "ten", "losses": 3}',
    "losses": '{"step": 10, "losses": {"loss": "low"}}',
    "negative": '{"step": -1}',
    "deep": '{"step": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "nested": '{"extra": ' + "[" * 800 + "]" * 800 + "}",
    "digits": '{"step": 1' + "0" * 400 + "}",
    "seconds": '{"step": 10, "seconds": 1e999}',
    "no object": "[1, 2]",
    "names": json.dumps({"losses": {f"loss{i}": 1.0 for i in range(1_000)}}),
}


def made(path: Path, **training: object) -> Run:
    run = create_run(path)
    run.write_config({**CONFIG, "training": {**CONFIG["training"], **training}})
    run.append_log(LINE)
    run.write_metrics([SCORE])
    return run


@pytest.mark.parametrize("kind", DEEP_TOML)
def test_a_hostile_configuration_is_damaged_at_once_and_the_other_run_is_listed(kind: str, tmp_path: Path) -> None:
    made(tmp_path / "good")
    bad = made(tmp_path / "bad")
    (bad.path / "run.toml").write_text(DEEP_TOML[kind])
    begin = time.monotonic()
    rows = list_runs(tmp_path)
    assert [(row["status"], row["id"]) for row in rows] == [("damaged", None), ("interrupted", "vae/conv")]
    with pytest.raises(DamagedRunError, match=r"run\.toml' cannot be read"):
        _ = bad.config
    assert time.monotonic() - begin < SECONDS


def test_depth_is_of_what_lies_within_each_other_and_not_of_what_stands_in_quotes() -> None:
    text = 'x = "' + "a." * 99 + '" # ' + "[" * 99 + "\ny = '''" + "[" * 99 + "\"'''\nz = [[1.5, 2.5], [3.5]]\n"
    assert bounded.table(text.encode())["z"] == [[1.5, 2.5], [3.5]]
    at_most = "a" + ".a" * 29 + " = 1\n"
    assert "a" in bounded.table(at_most.encode())
    hidden = 'x = ["""y"""", {' + "a." * 40 + 'b = 1}, "z"]\n'
    with pytest.raises(ValueError, match="lie within each other"):
        bounded.table(hidden.encode())


@pytest.mark.parametrize("kind", LINES)
def test_a_line_of_a_wrong_type_makes_one_run_damaged(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "good")
    bad = made(tmp_path / "bad")
    with open(bad.path / "log.jsonl", "a") as log:
        log.write(LINES[kind] + "\n")
    rows = list_runs(tmp_path)
    assert [(row["status"], row["step"]) for row in rows] == [("damaged", 10), ("interrupted", 10)]
    assert "line 2 of" in capsys.readouterr().err
    page = report.write([tmp_path / "good", bad.path], tmp_path / "page.html").read_text("utf-8")
    assert page.count("vae/conv") > 1 and report.write(bad).is_file()


@pytest.mark.parametrize("value", ["12", 4 * 10**18, -1, [3], True, 1.5], ids=str)
def test_a_length_that_is_no_number_of_steps_is_damaged(value: object, tmp_path: Path) -> None:
    made(tmp_path / "good")
    bad = made(tmp_path / "bad", epochs=value, steps_per_epoch=4 * 10**8 if value == "12" else 10)
    assert [row["status"] for row in list_runs(tmp_path)] == ["damaged", "interrupted"]
    with pytest.raises(DamagedRunError, match="epochs = "):
        _ = bad.planned_steps


def test_a_log_without_end_is_read_in_bounded_memory(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    with open(run.path / "log.jsonl", "ab") as log:
        log.truncate(40 * 2**30)  # sparse
    begin = time.monotonic()
    with pytest.raises(RunError, match="it is not a plain file of at most"):
        list(run.log())
    assert [row["status"] for row in list_runs(tmp_path)] == ["damaged"]
    (run.path / "log.jsonl").write_bytes(b"\n" * 2_000)
    with pytest.raises(RunError, match="1,000 lines are damaged"):
        list(run.log())
    (run.path / "log.jsonl").write_bytes(b"x" * 3 * 2**20 + b"\n" + json.dumps(LINE).encode() + b"\n")
    assert [entry["step"] for entry in run.log()] == [10]
    assert time.monotonic() - begin < SECONDS


SCORES = {
    "torn": "[",
    "name": '[{"name": 3, "value": 1}]',
    "value": '[{"name": "fd", "value": "low", "fingerprint": "a"}]',
    "deep": "[" * 10_000,
    "digits": '[{"name": "fd", "fingerprint": "a", "value": 1' + "0" * 400 + "}]",
    "nameless": '[{"value": 1.0}]',
}


@pytest.mark.parametrize("kind", SCORES)
def test_a_damaged_run_is_left_out_of_a_comparison(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = made(tmp_path / "good"), made(tmp_path / "bad")
    (bad.path / "metrics.json").write_text(SCORES[kind])
    found = compare([bad, good.path])
    assert [row["run"] for row in found["rows"]] == [str(good.path)] and found["damaged"] == [str(bad.path)]
    assert f"{str(bad.path)!r} is damaged and left out." in capsys.readouterr().err
    with pytest.raises(RunError):
        compare([bad])
    assert report.write(bad).is_file()


def test_a_run_with_a_damaged_configuration_is_left_out_and_the_page_says_so(tmp_path: Path) -> None:
    good, bad = made(tmp_path / "good"), made(tmp_path / "bad")
    (bad.path / "run.toml").write_text("=")
    assert compare([good.path, bad.path])["damaged"] == [str(bad.path)]
    page = report.write([good.path, bad.path], tmp_path / "page.html").read_text("utf-8")
    assert "cannot be read" in page
    with pytest.raises(ConfigError, match="is not a run"):
        compare([good.path, tmp_path / "absent"])


def test_a_damaged_lineage_leaves_a_report_without_updates(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    for entry in ({"head": "."}, {"head": ".", "run": [], "decision": 1}, {"head": ".", "scores": [3]}):
        (run.path / "lineage.jsonl").write_text(json.dumps(entry) + "\n")
        assert report.write(run).is_file()


def test_a_lock_file_with_a_number_that_no_process_has_is_nobody(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    for pid in ("1" + "0" * 400, "99999999999", "-1", "[" * 5_000):
        (run.path / "run.lock").write_text('{"host": "here", "started": 1.0, "pid": ' + pid + "}")
        assert run.status == "interrupted"
