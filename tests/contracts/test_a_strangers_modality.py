"""A kind of content that nobody foresaw, as a third party would write it: no line of the core knows chess."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.any_engine

Command = Callable[..., str]

PLUGIN = '''
import hashlib

import numpy as np

import genloom
from genloom.data import ArraySplit, Dataset, DataSpec
from genloom.metrics import metric_component
from genloom.modalities import Modality
from genloom.modalities.drawing import grid

PIECES = ".PNBRQKpnbrqk"


class Chess(Modality):
    """Positions (8, 8, 13): how likely each piece is on each square."""

    numeric = False
    in_rows = True
    features = "squares"

    def pictured(self, spec):
        return True

    def picture(self, samples, spec, columns=None, labels=None):
        shades = (samples.argmax(-1) / 12)[..., None]
        return grid(shades, DataSpec((8, 8, 1)), columns)

    def span(self, x, name):
        return 0.0, 1.0

    def readers(self):
        return {".fen": self.read}

    def read(self, content):
        return self.positions(content.decode().splitlines())

    def condition(self, name, rows, spec):
        return self.positions(rows) if name == "start" else rows

    def positions(self, lines):
        return np.eye(13)[[[[PIECES.index(piece) for piece in row] for row in line.split("/")] for line in lines]]

    def summary(self, samples, spec):
        return {"men": self.featured(samples, spec).sum(axis=1)}

    def featured(self, samples, spec):
        return (samples.argmax(-1) > 0).reshape(len(samples), 64).astype(float)

    def ending(self, drawn):
        return ".fen"

    def writers(self):
        return {".fen": lambda drawn: "".join(self.fen(x) + "\\n" for x in drawn.samples).encode()}

    def fen(self, position):
        return "/".join("".join(PIECES[piece] for piece in row) for row in position.argmax(-1))


CHESS = Chess()


def pawns(generated, context):
    taken, real = (context.values(samples).mean(axis=0) for samples in (generated, context.test))
    return float(((taken - real) ** 2).sum())


def open_openings(rest):
    rng = np.random.default_rng(0)
    pieces = np.zeros((60, 8, 8), int)
    pieces[:, 1], pieces[:, 6] = 7, 1  # pawns
    moved = rng.integers(0, 8, 60)
    pieces[np.arange(60), 6, moved], pieces[np.arange(60), 4, moved] = 0, 1
    x = np.eye(13, dtype="float32")[pieces]
    spec = DataSpec((8, 8, 13), kind="chess")
    fingerprint = hashlib.sha256(x.tobytes()).hexdigest()[:16]
    return Dataset("chess/openings", spec, ArraySplit(x[:48]), ArraySplit(x[48:]), fingerprint)


@genloom.hookimpl
def genloom_components():
    return [
        genloom.Component("modality", "board/chess", "board:CHESS", "Chess positions."),
        genloom.Component("dataset", "board/openings", "board:open_openings", "The first move of a pawn."),
        metric_component("board/pawns", "board:pawns", "Squares taken too often.", lower_is_better=True),
        genloom.Component("model", "board/mean", "board_model:Mean", "The mean position.", accepts=("chess",)),
    ]
'''

MODEL = """
import keras
from keras import ops

from genloom import GenerativeModel, Phase


class Mean(GenerativeModel):
    conditions = ("start",)

    def __init__(self, spec, options=None, **values):
        super().__init__(spec, options, **values)
        self.mean = self.add_weight(shape=spec.shape, initializer="zeros", name="mean")

    def phases(self):
        return [Phase("fit", [self.mean], self.error)]

    def error(self, batch):
        return ops.mean((batch["x"] - self.mean) ** 2), {}, 1.0

    def draw(self, keys, condition):
        if "start" in condition:
            return ops.cast(condition["start"], "float32")
        return ops.zeros((keys.shape[0], 1, 1, 1)) + ops.clip(self.mean, 0.0, 1.0)

    def default_optimizers(self):
        return keras.optimizers.Adam(0.2)
"""


@pytest.fixture
def command(tmp_path: Path, genloom_there: Command) -> Command:
    (tmp_path / "board.py").write_text(PLUGIN)
    (tmp_path / "board_model.py").write_text(MODEL)
    return genloom_there


def test_it_is_checked_trained_sampled_written_and_reported(tmp_path: Path, command: Command) -> None:
    checked = command("data", "check", "openings:", "--out", "positions.png")
    assert "chess" in checked and "men" in checked and "mean" not in checked  # its values are no amounts
    assert (tmp_path / "positions.png").read_bytes().startswith(b"\x89PNG")
    command("train", "board/mean", "--data", "openings:", "--epochs", "40", "--out", "run")
    command("sample", "run", "-n", "3", "--out", "samples.fen")
    lines = (tmp_path / "samples.fen").read_text().splitlines()
    assert len(lines) == 3 and {line.split("/")[1] for line in lines} == {"pppppppp"}
    # A condition is written as the kind writes it.
    start = "RNBQKBNR/PPPPPPPP/......../......../......../......../pppppppp/rnbqkbnr"
    command("sample", "run", "-n", "1", "--condition", f"start={start}", "--out", "start.fen")
    assert (tmp_path / "start.fen").read_text() == f"{start}\n"
    command("sample", "run", "-n", "2", "--out", "games")
    assert [file.suffix for file in (tmp_path / "games").iterdir()] == [".fen", ".fen"]
    # What was written is read again, a file or a folder of them, and so are arrays that name their kind.
    assert "such as 'files:samples.fen'" in command("data", "check", "samples.fen", code=2)
    assert "shape 8, 8, 13; kind chess" in command("data", "check", "files:games")
    np.savez(tmp_path / "games.npz", x=np.eye(13)[np.zeros((4, 8, 8), int)])
    assert "from 0 to 1" in command("data", "check", "npz:games.npz?kind=chess")
    assert (tmp_path / "run" / "samples" / "real.png").is_file()
    command("report", "run")
    assert "data:image/png" in (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "takes image, signal data, got chess" in command(
        "train", "vae/conv", "--data", "openings:", "--out", "o", code=2
    )
    # Its values are no amounts, so arithmetic is refused; and without its plugin a run says what it needs.
    told = command("sample", "run", "-n", "2", "--post", "rescale", "--out", "s.npz", code=2)
    assert "takes numeric, got chess" in told
    assert "board.py" in command("sample", "run", "-n", "1", plugin=False, code=4)


def test_it_is_scored_by_features_of_its_own(tmp_path: Path, command: Command) -> None:
    command("train", "board/mean", "--data", "openings:", "--epochs", "20", "--out", "run")
    command("evaluate", "run", "--metric", "fd-pca20", "--metric", "board/pawns")
    results = {entry["name"]: entry for entry in json.loads((tmp_path / "run" / "metrics.json").read_text())}
    # All that are drawn are the likeliest position, in which every pawn is at home; of those held out one has moved.
    moved = np.bincount(np.random.default_rng(0).integers(0, 8, 60)[48:], minlength=8) / 12
    assert results["board/pawns"]["value"] == pytest.approx(2 * (moved**2).sum(), rel=1e-6)
    frechet = results["fd[squares-pca20]"]
    assert frechet["value"] > 0 and frechet["floor"] is not None and not frechet["opponents"]
