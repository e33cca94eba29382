"""Matrices of scores in the page's colours, and the page of a sequence."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloom.runs import Run, create_run
from genloom_adapt.matrix import Matrix, matrix_picture
from genloom_adapt.page import write_page

pytestmark = pytest.mark.any_engine

ATTACK = "<script>alert('x')</script>"


def run_of(path: Path) -> Run:
    run = create_run(path)
    run.write_config({"model": {"id": "vae/mlp"}, "data": {"address": "digits"}, "training": {"steps": 3}})
    return run


def _matrix(**changes: Any) -> Matrix:
    given = {"scores": [[3.0, 8.0], [1.0, math.nan], [2.0, 4.0]], "columns": ["low", "high"], "measure": "fd"}
    return Matrix(**{**given, "lower_is_better": True, **changes})


def test_a_matrix_is_a_drawing_in_the_colours_of_the_page() -> None:
    svg = _matrix().svg
    assert not re.search(r"#[0-9a-f]{3,6}\b|rgb\(|<image|href", svg)
    assert set(re.findall(r'fill="(.*?)"', svg)) == {"var(--s0)", "var(--ink)", "var(--muted)"}
    texts = re.findall(r"<text[^>]*>(.*?)</text>", svg)
    assert texts == [
        "low",
        "high",
        "untrained",
        "after low",
        "after high",
        "3.000",
        "8.000",
        "1.000",
        "–",
        "2.000",
        "4.000",
    ]
    opacities = [float(value) for value in re.findall(r'fill-opacity="(.*?)"', svg)]
    assert opacities == pytest.approx([0.06, 0.06, 0.5, 0.28, 0.5])  # worst, worst, best, half, best; NaN has no cell
    assert _matrix(lower_is_better=False).goodness == [
        [1.0, 1.0],
        [0.0, pytest.approx(math.nan, nan_ok=True)],
        [0.5, 0.0],
    ]


def test_what_was_not_measured_is_hatched_and_not_drawn_as_the_worst() -> None:
    def worst(value: float) -> int:
        scores = [[3.0, 8.0], [1.0, value], [2.0, 4.0]]
        return int((np.asarray(matrix_picture(_matrix(scores=scores))) == (0, 34, 77)).all(axis=-1).sum())

    assert worst(math.nan) == worst(math.inf) == worst(4.0) < 0.75 * worst(8.0)  # two cells of this blue, or three
    picture = np.asarray(matrix_picture(_matrix())).astype(int)
    assert ((picture == 204).all(axis=-1)).sum() > 50  # the lines of the hatching, 0.8 grey


def test_a_matrix_holds_long_and_hostile_names() -> None:
    svg = _matrix(columns=[ATTACK, "a name that is longer than a cell is wide"]).svg
    assert "<script" not in svg
    width = float(re.findall(r'viewBox="0 0 ([\d.]+)', svg)[0])
    right = max(float(x) for x in re.findall(r'<text x="([\d.]+)"', svg))
    assert right + 7.2 * len("a name that is longer than a cell is wide") / 2 <= width


def test_the_page_of_a_sequence_has_its_matrix_as_a_drawing(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / name) for name in ("a", "b")]
    found = {
        "tasks": ["a", "b"], "runs": [str(run.path) for run in runs], "metric": "fd[pca20]", "lower_is_better": True,
        "matrix": [[2.0, 2.0], [0.5, 1.5], [0.7, 0.4]], "remedy": "none", "average": 0.5, "mean_forgetting": 0.2,
        "backward_transfer": -0.2, "forward_transfer": 0.5, "sequence": {"model": "vae/mlp"},
    }  # fmt: skip
    text = write_page(found, tmp_path / "s.html").read_text("utf-8")
    assert text.count('<svg class="matrix"') == 1
    assert "data:image/png" not in text
    assert "fd[pca20], lower is better" in text
