"""The picture of attention: drawn when a training ends, shown by the report, as dark as the weights are."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import ops
from PIL import Image

import genloom
from genloom_language import genloom_callbacks, genloom_report_sections
from genloom_language.attention import DrawAttention
from genloom_language.heat_maps import heat_maps, tokens_that_fit


def brightness(image: Image.Image, left: int, top: int, side: int, cells: int) -> np.ndarray:
    """The mean brightness within each square of a map, its borders left out."""
    pixels = np.asarray(image.convert("L"), float)
    step = side / cells
    return np.array([
        [pixels[round(top + r * step) + 3 : round(top + (r + 1) * step) - 3,
                round(left + c * step) + 3 : round(left + (c + 1) * step) - 3].mean() for c in range(cells)]
        for r in range(cells)
    ])  # fmt: skip


def test_squares_are_as_dark_as_the_weights_on_one_scale_for_all_maps() -> None:
    rng = np.random.default_rng(0)
    weights = np.tril(rng.uniform(0.1, 1.0, (1, 2, 5, 5)))
    weights /= weights.sum(-1, keepdims=True)
    weights[0, 1] = np.tril(np.full((5, 5), 1 / np.arange(1, 6)[:, None]))
    image = heat_maps(weights, list("abcde"), [1])
    assert image.size[0] >= 640
    # One letter of 12.5 pixels beside a margin of 48; a map has 460 pixels, two of them are 14 apart.
    lefts = [48 + 0.62 * 12.5 + head * (460 + 14) for head in range(2)]
    seen = np.stack([brightness(image, round(left), 44, 460, 5) for left in lefts])
    own = np.tril(np.ones((5, 5), bool))
    assert (seen[:, ~own] > 252).all()  # paper
    shades, values = seen[:, own].ravel(), weights[0][:, own].ravel()
    order = np.argsort(values)
    assert (np.diff(shades[order]) <= 0.5).all() and shades[order][0] - shades[order][-1] > 100
    # A weight of 1/3 is as dark in one head as in another that has it.
    assert seen[1, 2, 0] == pytest.approx(np.interp(1 / 3, values[order], shades[order]), abs=1.0)


def test_more_maps_leave_room_for_fewer_tokens_and_every_picture_fits_the_page() -> None:
    assert tokens_that_fit(1, 1) == 32 and 8 <= tokens_that_fit(6, 8) < tokens_that_fit(4, 4) < 32
    names = ["\n", "\t", " the", "$x", "日", "extraordinary", "�", "\x00"]
    for layers, heads, before in ((6, 8, 0), (4, 4, 1), (1, 1, 0), (6, 1, 0), (1, 8, 1)):
        t = tokens_that_fit(layers, heads)
        weights = np.full((layers, heads, t, t + before), 0.1)
        image = heat_maps(weights, ["prompt"] * before + (names * 5)[:t], range(1, layers + 1))
        assert 600 < max(image.size) <= 1200


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of seconds with a moving average of its weights."""
    return genloom.train(
        "language/transformer", "play?length=17",
        options={"layers": 2, "heads": 2, "width": 16, "learning_rate": 0.1}, steps=6, batch_size=4,
        ema=0.9, sample_count=1, progress="none", out=tmp_path_factory.mktemp("attention") / "run",
    )  # fmt: skip


def test_a_training_leaves_a_picture_and_the_report_shows_it(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run.path / "samples" / "attention.png"
    kept = np.asarray(Image.open(path))
    page = genloom.report.write(run).read_text("utf-8")
    assert page.count("What attends to what") == 1 and "held-out text" in page
    # It is that of the averaged weights on the first held-out window, whose tokens name the squares.
    given: list[Any] = []
    monkeypatch.setattr("genloom_language.attention.heat_maps", lambda *parts: given.append(parts) or heat_maps(*parts))
    callback = DrawAttention(run)
    model = genloom.load(run)
    callback.set_model(model)
    callback.on_train_end()
    weights, labels, numbers = given[0]
    window = genloom.data.open("play?length=17").test.arrays(1)["x"]
    assert labels == list(model.tokenizer.decode(window[0, :16].tolist())) and numbers == [1, 2]
    assert weights == pytest.approx(np.asarray(ops.convert_to_numpy(model.attention(window[:, :16])))[0], abs=1e-6)
    assert np.abs(kept.astype(int) - np.asarray(Image.open(path))).max() <= 2
    plain = genloom.load(run, weights="trained")
    assert np.abs(ops.convert_to_numpy(plain.attention(window[:, :16]))[0] - weights).max() > 0.05  # which is seen


def test_of_packed_documents_the_longest_that_begins_a_window_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [{"prompt": "ab" * (i % 7), "completion": "cd" * (1 + i % 5)} for i in range(60)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = f"jsonl:{tmp_path / 'a.jsonl'}?length=33&tokenizer=char"
    given: list[Any] = []
    monkeypatch.setattr("genloom_language.attention.heat_maps", lambda *parts: given.append(parts) or heat_maps(*parts))
    genloom.train(
        "language/transformer", data, options={"layers": 1, "heads": 1, "width": 8}, steps=1, batch_size=4,
        sample_count=1, progress="none", out=tmp_path / "run",
    )  # fmt: skip
    labels = given[0][1]
    assert labels[0] == "<|user|>" and labels.count("<|user|>") == 1 and "<|end|>" not in labels[:-1]


def test_runs_without_samples_or_of_other_models_have_no_picture(tmp_path: Path) -> None:
    def asked(model: str, every: int) -> list[Any]:
        config = {"model": {"id": model}, "training": {"sample_every": every}}
        return genloom_callbacks(types.SimpleNamespace(path=tmp_path, config=config))

    assert asked("language/transformer", 0) == asked("gan/dcgan", 1) == []
    assert len(asked("language/transformer", 1)) == 1
    assert genloom_report_sections(types.SimpleNamespace(path=tmp_path)) == []
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "attention.png").write_bytes(b"\x89PNG torn")
    assert genloom_report_sections(types.SimpleNamespace(path=tmp_path)) == []


def test_data_that_are_gone_are_no_reason_to_fail(run: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(run), "address", "text:absent.txt")
    callback = DrawAttention(run)
    callback.set_model(genloom.load(run))
    callback.on_train_end()
    assert "no picture of attention" in capsys.readouterr().err
