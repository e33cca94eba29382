"""The table of `genloom compare`: measures in rows, runs in columns, at any width of a terminal."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest

from genloom import report
from genloom.cli import output
from genloom.cli.compare import compare
from genloom.runs import Run, create_run, save

pytestmark = pytest.mark.any_engine


def result(name: str, value: float, fingerprint: str, lower: bool | None, **extra: Any) -> dict[str, Any]:
    stated = {"name": name, "value": value, "fingerprint": fingerprint, "lower_is_better": lower, "role": "score"}
    return {**stated, "n": 360, "floor": 0.25, "opponents": {"mixture": 2.5}, "protocol": {}, "step": 10} | extra


def runs(folder: Path, *names: str) -> list[str]:
    for number, name in enumerate(names):
        run = create_run(folder / name)
        run.write_config({"model": {"id": "vae/mlp", "seed": number}, "data": {"address": "digits"}})
        save(run, 10, {"w": np.zeros(1)})
        scores = [result("fd[pca20]", 1.0 + number, "aaaaaaaa", True), result("precision", 0.5, "bbbbbbbb", False)]
        run.write_metrics([*scores, result("fd[pca20]", 3.0, "cccccccc", True), result("c2st", 0.7, "dddddddd", None)])
    return [str(folder / name) for name in names]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Draw tables as on a terminal of so many columns, and return what is printed."""

    def run(words: list[str], width: int) -> click.testing.Result:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(output, "on_terminal", lambda: True)
        return click.testing.CliRunner().invoke(compare, words)

    return run


def test_measures_are_rows_with_their_direction(tmp_path: Path) -> None:
    words = runs(tmp_path, "a", "b")
    done = click.testing.CliRunner().invoke(compare, words)
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        ["measure", "a", "b", "real data", "mixture"],
        ["model", "vae/mlp", "vae/mlp", "", ""],
        ["seed", "0", "1", "", ""],
        ["fd[pca20] ↓ aaaaaa", "1", "2", "0.25", "2.5"],
        ["fd[pca20] ↓ cccccc", "3", "3", "0.25", "2.5"],
        ["precision ↑", "0.5", "0.5", "0.25", "2.5"],
        ["c2st ≈", "0.7", "0.7", "0.25", "2.5"],
    ]


def measured(folder: Path, name: str, n: int, **protocol: Any) -> str:
    """Make a run whose fd, precision and cost were measured with n samples."""
    data = protocol.pop("address", "digits")
    run = create_run(folder / name)
    run.write_config({"model": {"id": "vae/mlp", "seed": 0}, "data": {"address": data}})
    save(run, 10, {"w": np.zeros(1)})
    plain: dict[str, Any] = {
        "n": n,
        "protocol": {"n": n, "reference_n": n, "data": data, "shape": [8, 8, 1], **protocol},
    }
    digest = f"{n}{data}{protocol}".encode().hex()
    cost = result("seconds per 1,000 samples", 0.5, f"c{digest}", True, **plain | {"role": "cost"})
    run.write_metrics([result("fd[pca20]", 1.0, f"a{digest}", True, **plain), cost])
    return str(folder / name)


def told(*words: str) -> tuple[list[str], list[str]]:
    """Return the names of the measures, and what is said on stderr."""
    done = click.testing.CliRunner().invoke(compare, words)
    assert done.exit_code == 0, done.output
    return [line.split("\t")[0] for line in done.stdout.splitlines()[3:]], done.stderr.splitlines()


def test_scores_of_unlike_n_say_n_and_the_command_that_makes_them_alike(tmp_path: Path) -> None:
    few, many = measured(tmp_path, "few", 20), measured(tmp_path, "many", 100)
    names, said = told(few, many)
    assert names[:2] == ["fd[pca20] ↓ n=20", "fd[pca20] ↓ n=100"]
    assert names[2:] == ["seconds per 1,000 samples ↓ n=20", "seconds per 1,000 samples ↓ n=100"]
    assert said == [f"{few} was measured with n=20, others with n=100. To compare them: genloom evaluate {few} -n 100"]
    page = report.write_comparison([few, many], tmp_path / "c.html").read_text("utf-8")
    assert f"genloom evaluate {few} -n 100" in page
    # Measured in both ways, it shares a row with the other: nothing is left to do.
    run = Run(few)
    run.write_metrics([*run.metrics(), *Run(many).metrics()])
    assert told(few, many) == (names, [])
    assert told(measured(tmp_path, "another", 20), few) == (names, [])


def test_other_ways_of_measuring_are_told_by_what_differs(tmp_path: Path) -> None:
    digits, ring = measured(tmp_path, "digits", 20), measured(tmp_path, "ring", 100, address="toy:8-ring")
    assert told(digits, ring)[1] == []  # no n brings them together
    same_n = measured(tmp_path, "mnist", 20, address="mnist")
    assert told(digits, same_n)[0][:2] == ["fd[pca20] ↓ data=digits", "fd[pca20] ↓ data=mnist"]
    machines = [measured(tmp_path, name, 20, setting=f"{name}, x86_64, 2 cores, compiled") for name in ("jax", "torch")]
    assert told(*machines)[0][:2] == ["fd[pca20] ↓ jax", "fd[pca20] ↓ torch"]
    shapes = [measured(tmp_path, f"s{side}", 20, shape=[side, side, 1]) for side in (8, 28)]
    assert told(*shapes)[0][:2] == ["fd[pca20] ↓ shape=[8, 8, 1]", "fd[pca20] ↓ shape=[28, 28, 1]"]
    losses = [
        measured(tmp_path, name, 20, setting=json.dumps({"id": name, "preset": None, "options": {"width": width}}))
        for name, width in (("vae", 8), ("gan", 8))
    ]
    assert told(*losses)[0][:2] == ["fd[pca20] ↓ id=vae", "fd[pca20] ↓ id=gan"]
    hostile = [measured(tmp_path, f"h{n}", 20, setting={"a": [n] * 100}, shape={"x": 10**n}) for n in (1, 2)]
    assert len(set(told(*hostile)[0])) == 4


def test_what_does_not_fit_follows_below(tmp_path: Path, drawn: Any) -> None:
    names = [f"a-name-of-twenty-four-{number:02d}" for number in range(6)]
    words = runs(tmp_path, *names)
    done = drawn(words, 80)
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "…" not in done.stdout
    heads = [line.split() for line in lines if line.startswith("measure")]
    assert [name for head in heads for name in head[1:]] == [*names, "real", "data", "mixture"]
    assert sum(line.startswith("precision ↑") for line in lines) == len(heads) == 4
    wide = [line.strip() for line in drawn(words, 400).stdout.splitlines()]
    assert sum(line.startswith("measure") for line in wide) == 1


def test_runs_trained_further_since_are_marked(tmp_path: Path) -> None:
    words = runs(tmp_path, "a", "b")
    save(create_run(words[1], resume=True), 20, {"w": np.zeros(1)})
    done = click.testing.CliRunner().invoke(compare, words)
    assert done.stdout.splitlines()[0].split("\t")[1:3] == ["a", "b*"]
    assert done.stderr == f"* b: scores of step 10, trained further since: genloom evaluate {words[1]}\n"


def test_an_evaluation_fits_into_80_columns_and_says_directions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    evaluate = importlib.import_module("genloom.cli.evaluate")
    monkeypatch.setattr(evaluate, "on_terminal", lambda: True)
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    opponents = {"mixture": 2.5, "gaussian": 3.5, "marginals": 4.5}
    scores = [result("fd[classifier32]", 1.2345, "a", True), result("precision", 0.5, "b", False, role="post")]
    evaluate._print([{**score, "opponents": opponents} for score in scores])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["measure", "value", "real", "data", "mixture", "gaussian", "marginals"],
        ["fd[classifier32]", "↓", "1.234", "0.25", "2.5", "3.5", "4.5"],
        ["precision", "↑", "after", "post", "0.5", "0.25", "2.5", "3.5", "4.5"],
    ]
