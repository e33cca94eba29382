"""A modality that breaks a promise is named with its plugin, whichever of its methods it is and whoever asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom
from genloom import DataSpec
from genloom.data.summary import Summary
from genloom.errors import ConfigError, DataError, PluginError
from genloom.metrics.context import MetricContext
from genloom.modalities import known, layout, modality_of, picture, takes
from genloom.modalities.writing import endings, write
from genloom.plugins.discovery import load_file
from genloom.plugins.offers import Component

pytestmark = pytest.mark.any_engine

PLUGIN = """
import numpy as np
import genloom
from genloom.modalities import Modality


class Tiles(Modality):
    features = "tiles"


TILES = Tiles()


@genloom.hookimpl
def genloom_components():
    return [genloom.Component("modality", "hall/tiles", "hall:TILES", "Tiles.")]
"""

SPEC: dict[str, Any] = {"shape": (2, 2), "kind": "tiles"}
X = np.arange(24.0).reshape(6, 2, 2)


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> None:
    if "hall" not in sys.modules:
        file = tmp_path_factory.mktemp("hall") / "hall.py"
        file.write_text(PLUGIN)
        load_file(file)


Breaks = Callable[..., None]


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Breaks:
    """Let the plugin offer a modality that differs in some members."""
    hall = sys.modules["hall"]
    return lambda **members: monkeypatch.setattr(hall, "TILES", type("Tiles", (hall.Tiles,), members)())


def spec() -> DataSpec:
    return DataSpec(**SPEC)


def samples() -> genloom.Samples:
    return genloom.Samples(X, spec())


def on_disk(tmp_path: Path) -> str:
    (tmp_path / "x.tile").write_bytes(b"12")
    return f"files:{tmp_path / 'x.tile'}?kind=tiles"


# What is broken: (method, what it returns, who asks, what is said).
BROKEN: dict[str, tuple[str, Any, Callable[[Path], Any], str]] = {
    "no picture": ("picture", None, lambda _: picture(X, spec()), "picture() returned NoneType. Return a Pillow image"),
    "pictured": ("pictured", None, lambda _: samples().save("x.png"), "pictured() returned NoneType"),
    "text for bytes": (
        "writers",
        {".tile": lambda drawn: "text"},
        lambda folder: write(samples(), folder / "new.tile"),
        "the writer of .tile returned 'text'. Return the bytes",
    ),
    "no writers": ("writers", None, lambda folder: write(samples(), folder / "x.npz"), "writers() returned NoneType"),
    "no ending": ("ending", ".odd", lambda folder: write(samples(), folder / "many"), "ending() returned '.odd'"),
    "no readers": ("readers", None, lambda f: genloom.data.open(on_disk(f)), "readers() returned NoneType"),
    "a point short": ("readers", {"tile": len}, lambda f: genloom.data.open(on_disk(f)), "readers() returned dict"),
    "nothing read": (
        "readers",
        {".tile": lambda content: None},
        lambda folder: genloom.data.open(on_disk(folder)),
        "the reader of .tile returned NoneType. Return samples (n, …)",
    ),
    "no rows": ("shaped", None, lambda _: genloom.data.open(X, kind="tiles"), "shaped() returned NoneType"),
    "no span": ("span", 3, lambda _: genloom.data.open(X, kind="tiles"), "span() returned int"),
    "span turned": ("span", (1.0, 0.0), lambda _: genloom.data.open(X, kind="tiles"), "span() returned tuple"),
    "no summary": ("summary", None, lambda _: Summary(spec(), 6).add({"x": X}), "summary() returned NoneType"),
    "one for all": (
        "summary",
        {"tiles": 3.0},
        lambda _: Summary(spec(), 6).add({"x": X}),
        "summary() of 'tiles' returned float. Return one number of each of 6 samples",
    ),
    "features of a line": (
        "featured",
        np.zeros(6),
        lambda _: MetricContext(samples(), samples(), spec()).values(samples()),
        "featured() returned an array of shape (6,). Return amounts (6, d)",
    ),
    "no feature": (
        "featured",
        np.full((6, 1), np.nan),
        lambda _: MetricContext(samples(), samples(), spec()).values(samples()),
        "featured() returned numbers that are not finite for 6 of 6 samples",
    ),
    "no condition": (
        "condition",
        None,
        lambda _: modality_of(spec()).condition("start", np.zeros(6), spec()),
        "condition() returned NoneType",
    ),
}


@pytest.mark.parametrize(("method", "given", "ask", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_promise_is_named_with_its_plugin(
    method: str, given: Any, ask: Callable[[Path], Any], words: str, breaks: Breaks, tmp_path: Path
) -> None:
    breaks(**{method: lambda self, *asked: given})
    with pytest.raises(PluginError) as broken:
        ask(tmp_path)
    assert str(broken.value).startswith("Plugin 'hall' (")
    assert f"): hall/tiles: {words}" in str(broken.value)
    assert broken.value.exit_code == 3


def test_data_like_a_known_kind_are_taken_by_its_models_and_by_nothing_else(breaks: Breaks) -> None:
    models = {"vae/conv": ("image",), "gan/mlp": ("image", "signal", "table")}
    taken = {id: Component("model", id, "a:b", "A model.", accepts=accepts) for id, accepts in models.items()}
    blurs = Component("postprocessor", "post/blur", "a:b", "Of images.", accepts=("image",))
    for like, expected in (("", (False, False)), ("image", (True, True)), ("signal", (False, True))):
        breaks(like=like)
        assert tuple(takes(model, spec()) for model in taken.values()) == expected
        assert not takes(blurs, spec())
        assert layout(spec()) == (like or "tiles")
    breaks(like=None)
    with pytest.raises(PluginError, match="hall/tiles: like is NoneType"):
        modality_of(spec())


def test_a_first_party_family_trains_on_them_and_samples_are_of_their_kind(breaks: Breaks, tmp_path: Path) -> None:
    breaks(like="image", writers=lambda self: {".tile": lambda drawn: bytes(len(drawn))})
    x = np.random.default_rng(0).random((40, 8, 8, 2), "float32")
    data = genloom.data.open(x, kind="tiles", value_range=(0.0, 1.0))
    quiet: dict[str, Any] = {"progress": "none", "sample_every": 0}
    run = genloom.train("vae/conv", data, preset="tiny", steps=1, out=tmp_path / "run", **quiet)
    drawn = genloom.sample(run, 3)
    assert drawn.spec.kind == "tiles" and drawn.samples.shape == (3, 8, 8, 2)
    assert write(drawn, tmp_path / "x.tile").read_bytes() == bytes(3)


@pytest.mark.parametrize("method", ["readers", "writers"])
def test_other_kinds_go_on_beside_a_broken_one(method: str, breaks: Breaks) -> None:
    def broken(self: Any) -> Any:
        raise KeyError(method)

    assert "tiles" in known()
    breaks(**{method: broken})
    assert "tiles" not in known() and "image" in known()
    assert ".gif" in endings()


def test_what_a_file_or_a_person_gets_wrong_is_no_fault_of_the_plugin(breaks: Breaks, tmp_path: Path) -> None:
    def read(content: bytes) -> Any:
        raise ValueError("no tiles")

    breaks(readers=lambda self: {".tile": read})
    with pytest.raises(DataError, match=r"x\.tile cannot be read: no tiles"):
        genloom.data.open(on_disk(tmp_path))
    with pytest.raises(ConfigError, match="have no picture"):
        picture(X, spec())
