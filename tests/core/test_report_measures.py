"""The figures of a report: one for each measure, explained on hover and in print."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloom import report
from genloom.data.spec import DataSpec
from genloom.modalities import picture
from genloom.modalities.drawing import grid
from genloom.plugins.registry import components
from genloom.report.definitions import definition
from genloom.runs import Run, create_run

pytestmark = pytest.mark.any_engine

ATTACK = "<script>alert('x')</script>"


def _entry(name: str, value: float, **extra: Any) -> dict[str, Any]:
    fingerprint = f"{name}{extra.get('n')}{extra.get('setting')}"
    plain = {"floor": None, "opponents": {}, "lower_is_better": True, "role": "score"}
    return {"name": name, "value": value, "fingerprint": fingerprint, "protocol": {}, **plain, **extra}


def _run(path: Path, model: str, *results: dict[str, Any]) -> Run:
    run = create_run(path)
    run.write_config({"model": {"id": model}, "data": {"address": "digits"}, "training": {"steps": 3}})
    run.write_metrics(list(results))
    return run


def _rows(page: Path, name: str) -> list[list[str]]:
    """The cells of the rows that begin with a measure's name."""
    rows = re.findall(r"<tr>(.*?)</tr>", page.read_text("utf-8"), re.S)
    cells = [
        [" ".join(re.sub(r"<.*?>", "", cell).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]
        for row in rows
    ]
    return [row for row in cells if row and row[0].partition(" ↓")[0] == name]


COST = "seconds per 1,000 samples"


def test_a_measure_taken_twice_is_shown_once_as_last_taken(tmp_path: Path) -> None:
    taken = [
        _entry(COST, 0.258, n=64, role="cost"), _entry("fd[pca20]", 1.156, n=64),
        _entry(COST, 0.019, n=500, role="cost"), _entry("fd[pca20]", 0.838, n=500),
        _entry("fd[pca20]", 0.9, n=500, role="post", post=["clip"]),
    ]  # fmt: skip
    page = report.write(_run(tmp_path / "run", "vae/mlp", *taken))
    assert _rows(page, COST) == [[f"{COST} ↓", "0.0190", "500", COST[:7]]]
    assert [row[1] for row in _rows(page, "fd[pca20]")] == ["0.838", "0.838"]  # as drawn, and before post-processing


def test_a_comparison_has_one_figure_of_each_measure_for_each_model(tmp_path: Path) -> None:
    twice = [_entry("fd[pca20]", 1.156, n=64), _entry("fd[pca20]", 0.838, n=500), _entry("recall", 0.5, n=64)]
    once = [_entry("fd[pca20]", 0.4, n=500), _entry("recall", 0.7, n=500)]
    runs = [_run(tmp_path / "a", "vae/mlp", *twice), _run(tmp_path / "b", "gan/mlp", *once)]
    page = report.write_comparison(runs, tmp_path / "c.html")
    assert [row[1:3] for row in _rows(page, "fd[pca20]")] == [["0.838", "0.400"]]
    # No way of measuring is shared here, so unlike scores stand in rows of their own.
    assert [row[1:3] for row in _rows(page, "recall")] == [["0.500", "–"], ["–", "0.700"]]


def test_every_measure_of_the_core_is_explained_on_hover_and_in_print(tmp_path: Path) -> None:
    names = [c.id for c in components("metric")] + [COST, "network evaluations", "val_loss", "test_kl", "fd[pca7]"]
    run = _run(tmp_path / "run", "vae/mlp", *[_entry(name, 1.0, n=9) for name in names], _entry("unheard-of", 1.0, n=9))
    text = html.unescape(report.write(run).read_text("utf-8"))
    for name in names:
        assert definition(name).endswith("."), name
        assert f'title="{definition(name)}">{name}</abbr>' in text, name
        assert f"<dt>{name}</dt><dd>{definition(name)}</dd>" in text, name
    assert "Fréchet distance" in definition("fd[pca7]")  # the data allowed seven components
    assert definition("unheard-of") == ""
    assert "<dt>unheard-of" not in text


def test_a_part_of_a_loss_has_no_direction(tmp_path: Path) -> None:
    losses = [
        _entry("test_loss", 1.0, n=9, role="loss"),
        _entry("test_kl", 1.0, n=9, role="loss", lower_is_better=None),
    ]
    losses.append(_entry("test_accuracy", 0.9, n=9, role="loss", lower_is_better=False))
    page = report.write(_run(tmp_path / "run", "vae/mlp", *losses)).read_text("utf-8")
    shown = [
        " ".join(re.sub(r"<.*?>", "", cell).split()) for cell in re.findall(r"<tr><th>(test.*?|.*?test_.*?)</th>", page)
    ]
    assert shown == ["test_loss ↓", "test_kl", "test_accuracy ↑"]


def test_pictures_of_a_report_name_their_classes() -> None:
    spec = DataSpec((4, 4, 1), classes=2, class_names=("cat", "an animal without end"))
    samples = np.stack([np.full((4, 4, 1), grey) for grey in (1.0, 0.0, 0.5)])
    shown = np.asarray(picture(samples, spec, labels=np.array([1, 0, 1])))
    plain = np.asarray(grid(samples[[1, 0, 2]], spec))
    assert shown.shape == (plain.shape[0] + 2 * 14, plain.shape[1])
    np.testing.assert_array_equal(shown[:48], plain[:48])
    assert [(shown[48:62, x : x + 48] < 200).any() for x in (0, 50)] == [True, True]
    assert (shown[48:62, 48:50] == 255).all()  # a long name ends within its tile
    assert picture(samples, spec).size == (98, 98)
