"""Reports: self-contained, escaped, honest about what is missing, and right in their numbers."""

from __future__ import annotations

import html.parser
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloom import report
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, DamagedRunError
from genloom.modalities.drawing import grid
from genloom.report import curves, numerals, standing
from genloom.report.embedding import evenly
from genloom.runs import Run, create_run, save

pytestmark = pytest.mark.any_engine

ATTACK = "<script>alert('x')</script>"


class Page(html.parser.HTMLParser):
    """The tags, addresses, headings and text of a page."""

    VOID = frozenset(("meta", "img", "path", "use", "br", "hr", "link"))

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.classes: list[list[str]] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href", "action")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.classes.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.classes[-1].append(dict(attributes).get("class") or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        elif {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, name: str) -> list[str]:
        return next([" ".join(cell.split()) for cell in row] for row in self.rows if row and row[0].startswith(name))


def result(name: str, value: float, **extra: object) -> dict:
    plain = {"n": 360, "floor": 0.25, "opponents": {"mixture": 2.5}, "lower_is_better": True, "role": "score"}
    return {"name": name, "value": value, "fingerprint": f"{name}0123456789", "protocol": {}, **plain, **extra}


def made(path: Path, model: str = "vae/conv", seed: int = 0, score: float = 1.0) -> Run:
    run = create_run(path)
    run.write_config(
        {
            "model": {"id": model, "seed": seed, "preset": "tiny", "options": {"latent": 16, "widths": [32, 64]}},
            "data": {"address": "digits", "fingerprint": "abc"},
            "training": {"batch_size": 64, "epochs": 2, "steps_per_epoch": 20, "seed": seed, "backend": "jax"},
            "versions": {"genloom": "0.1.0", "keras": "3.15.1"},
        }
    )
    for step in (10, 20, 30, 40):
        losses = {"loss": 1.0 / step, **({"val_loss": 2.0 / step} if step % 20 == 0 else {})}
        run.append_log(
            {"step": step, "epoch": 1 + step // 21, "seconds": 2.0 * step, "losses": losses, "rates": {"main": 1e-3}}
        )
    run.finish(40, 2, 80.0)
    spec, rng = DataSpec((8, 8, 1)), np.random.default_rng(seed)
    for name in ("real", "epoch-0001", "epoch-0002", "post-before", "post-clip"):
        grid(rng.random((4, 8, 8, 1)), spec).save(run.path / "samples" / f"{name}.png")
    cost = {"role": "cost", "floor": None, "opponents": {}}
    run.write_metrics([result("fd[pca20]", score), result("seconds per 1,000 samples", 0.5, **cost)])
    return run


def test_a_page_needs_nothing_outside_itself(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a"), made(tmp_path / "b", "gan/dcgan")]
    for path in (report.write(runs[0]), report.write_comparison(runs, tmp_path / "compared.html")):
        page = Page(path)
        assert page.open == []
        assert {"script", "link", "iframe", "object", "base"}.isdisjoint(page.tags)
        assert page.addresses
        assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
        assert not re.search(r"url\((?!#)|@import", path.read_text("utf-8"))
        assert re.search(r"default-src 'none'", path.read_text("utf-8"))


def test_one_run_is_told_in_full(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    save(run, 40, {"model/kernel": np.zeros((7, 3)), "optimizer/main/m": np.zeros(100)})
    path = report.write(run)
    assert path == run.path / "report.html"
    page, text = Page(path), path.read_text("utf-8")
    expected = ["Real next to generated", "Measured", "Samples over training", "Losses", "Post-processing"]
    assert page.headings == expected
    assert page.row("fd[pca20]") == ["fd[pca20] ↓", "1.000", "0.250", "2.500", "360", "fd[pca20"]
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text.partition("</header>")[0]))
    assert facts == {
        "Data": "digits", "Engine": "jax", "Seed": "0", "Preset": "tiny", "Steps": "40", "Epochs": "2",
        "Training": "1 min 20 s", "Parameters": "21", "GenLoom": "0.1.0", "Keras": "3.15.1", "Status": "finished",
    }  # fmt: skip
    command = " ".join(re.findall(r"<span>(.*?)</span> ", text))
    flags = "--preset tiny --batch-size 64 --epochs 2 --seed 0 --backend jax --set latent=16 --set widths=32,64"
    assert command == f"genloom train vae/conv --data digits {flags} --out RUN"


def test_missing_pieces_shorten_the_page(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run")
    run.write_config({"model": {"id": "vae/conv"}})
    assert Page(report.write(run)).headings == []
    assert Page(report.write_comparison([run], tmp_path / "c.html")).headings == []


@pytest.mark.parametrize(
    ("config", "fault"),
    [({"model": "text", "training": [1], "data": 3}, "model is not a table"), ({}, r"\[model\] names no id")],
)
def test_a_configuration_of_another_form_is_refused(config: dict[str, Any], fault: str, tmp_path: Path) -> None:
    run = create_run(tmp_path / "run")
    run.write_config(config)
    for runs in (run, [run]):
        with pytest.raises(DamagedRunError, match=fault):
            report.write(runs)


def test_damaged_pieces_are_left_out(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    newest = run.samples()[-1]
    newest.write_bytes(newest.read_bytes()[:200])
    (run.path / "samples" / "real.png").write_text("not a picture")
    (run.path / "samples" / "post-clip.png").unlink()
    (run.path / "samples" / "post-clip.png").symlink_to(newest)
    (run.path / "metrics.json").write_text('[{"name": "fd", "value": "1", "opponents": [3]}, {"value": 2}]')
    with open(run.path / "log.jsonl", "a") as log:
        log.write('{"step": "ten", "losses": 3}\n{"step": 50, "losses": {"loss": "low"}}\n{"st')
    page = Page(report.write(run))
    assert page.headings == ["Samples", "Measured", "Losses", "Post-processing"]
    assert page.row("fd") == ["fd ≈", "–", "–", "–", ""]
    (run.path / "metrics.json").write_text("[")
    text = report.write(run).read_text("utf-8")
    assert "metrics.json" in text and "Measure again: genloom evaluate" in text


def test_scores_of_an_earlier_step_are_marked(tmp_path: Path) -> None:
    runs = [made(tmp_path / name) for name in ("old", "new")]
    for run, step in zip(runs, (40, 20), strict=True):
        save(run, 40, {"model/kernel": np.zeros(3)})
        run.write_metrics([result("fd[pca20]", 1.0, step=step, seed=0)])
    said = "new was measured at step 20 and has been trained to 40 since. Measure again: genloom evaluate"
    assert said in report.write(runs[1]).read_text("utf-8")
    assert "was measured at step" not in report.write(runs[0]).read_text("utf-8")
    assert report.write_comparison(runs).read_text("utf-8").count("was measured at step") == 1


def test_what_a_run_says_is_text_not_markup(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    run.write_config({"model": {"id": ATTACK, "options": {ATTACK: ATTACK}}, "data": {"address": ATTACK}, ATTACK: 1})
    run.append_log(
        {"step": 50, "epoch": 3, "seconds": 1, "losses": {ATTACK: 1.0, f"val_{ATTACK}": 1.0}, "rates": {ATTACK: 1}}
    )
    run.write_metrics([result(ATTACK, 1.0, fingerprint=ATTACK, opponents={ATTACK: 1.0})])
    for path in (report.write(run), report.write([run, made(tmp_path / "b")], tmp_path / "c.html")):
        page = Page(path)
        assert "script" not in page.tags
        assert "&lt;script&gt;" in path.read_text("utf-8")


def test_sections_of_plugins_come_last(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    drawn = grid(np.zeros((1, 8, 8, 1)), DataSpec((8, 8, 1)))
    own = report.Section("Own <title>", text="First & last.\n\nSecond.", figures=[("a < b", drawn)])
    text = report.write(run, sections=[("Plugin", "<p id='own'>markup</p>"), own]).read_text("utf-8")
    assert "<h2>Plugin</h2>" in text
    assert "<p id='own'>markup</p>" in text
    assert "<h2>Own &lt;title&gt;</h2>" in text
    assert "<p>First &amp; last.</p>" in text
    assert "<figcaption>a &lt; b</figcaption>" in text


def test_what_is_no_run_is_a_configuration_error(tmp_path: Path) -> None:
    for runs in (tmp_path, [tmp_path], []):
        with pytest.raises(ConfigError) as error:
            report.write(runs)
        assert error.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_the_comparison_sums_up_seeds_and_marks_the_best(tmp_path: Path) -> None:
    scores = {("vae/conv", 1): 1.0, ("vae/conv", 2): 1.5, ("gan/dcgan", 1): 0.9, ("gan/dcgan", 2): 1.1}
    runs = [made(tmp_path / f"{m[:3]}{s}", m, s, score) for (m, s), score in scores.items()]
    page = Page(report.write_comparison(runs, tmp_path / "c.html"))
    assert page.rows[0] == ["", "vae/conv", "gan/dcgan", "real data", "mixture", "n", "fingerprint"]
    cells = ["1.250 ± 0.354", "1.000 ± 0.141", "0.250", "2.500", "360", "fd[pca20"]
    assert page.row("fd[pca20]") == ["fd[pca20] ↓", *cells]
    marked = {
        row[0].split()[0]: classes for row, classes in zip(page.rows, page.classes, strict=True) if row[0].split()
    }
    assert marked["fd[pca20]"] == ["", "value", "best", "floor", "opponent", "quiet", "quiet"]
    assert page.row("training time")[1:3] == ["1 min 20 s", "1 min 20 s"]
    assert page.headings == ["Real next to generated", "Measured", "Samples over training", "Losses"]


def test_the_given_comparison_is_what_is_shown(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a"), made(tmp_path / "b", "gan/dcgan")]
    columns = [
        {"name": "c2st", "fingerprint": "f1", "role": "score", "n": 5, "lower_is_better": None},
        {"name": "recall", "fingerprint": "f1", "role": "score", "n": 5, "lower_is_better": False},
        {"name": "recall", "fingerprint": "f2", "role": "score", "n": 9, "lower_is_better": False},
        {"name": "val_loss", "fingerprint": "f3", "role": "loss", "n": 0, "lower_is_better": True},
    ]
    rows = [
        {"run": str(runs[0].path), "model": "vae/conv", "seed": 0, "values": [0.3, 0.5, None, 1.0]},
        {"run": str(runs[1].path), "model": "gan/dcgan", "seed": 0, "values": [0.6, 0.7, 0.8, 0.1]},
    ]
    references = [{"name": "floor", "values": [0.5, 0.9, 0.9, None]}, {"name": "marginals", "values": [1.0]}]
    comparison = {"columns": columns, "rows": rows, "references": references, "newer key": 1}
    groups = standing.measured_groups(comparison, standing.groups(runs))
    shown = {
        (group["title"], row["name"], row["fingerprint"]): [(c["text"], c["best"]) for c in row["cells"]]
        for group in groups[:2]
        for row in group["rows"]
    }
    assert shown == {
        ("Quality", "c2st", "f1"): [("0.300", False), ("0.600", True)],
        ("Diversity", "recall", "f1"): [("0.500", False), ("0.700", True)],  # of f2 nobody needs a figure
    }
    page = Page(report.write_comparison(runs, tmp_path / "c.html", comparison))
    assert page.row("c2st") == ["c2st ≈", "0.300", "0.600", "0.500", "1.000", "5", "f1"]


def test_curves_are_means_per_epoch_and_gaps_are_left_out(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    run.append_log({"step": 50, "epoch": 3, "seconds": 1, "losses": {"loss": float("nan")}, "rates": {}})
    means = curves.epoch_means(run.log(), "losses")
    assert means["loss"] == ([20, 40], pytest.approx([(1 / 10 + 1 / 20) / 2, (1 / 30 + 1 / 40) / 2]))
    assert means["val_loss"] == ([20, 40], [0.1, 0.05])
    titles = [(panel.title, [entry[0] for entry in panel.legend]) for panel in curves.loss_panels(run)]
    assert titles == [("loss", ["training", "held out"]), ("learning rate", ["main"])]


def test_drawings_take_the_colours_of_the_page() -> None:
    svg = curves.panel("p", [curves.Line("a", [1, 2], [1.0, 1000.0], 2), curves.Line("b", [1], [3.0], 3)]).svg
    assert "var(--s2)" in svg
    assert "var(--s3)" in svg
    assert "#0a0b" not in svg
    assert not re.search(r'id="(figure|axes|patch|line2d)_', svg)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.0, "0.000"), (1.0, "1.000"), (12.3456, "12.35"), (123.456, "123.5"), (12345.6, "12,346"),
        (12345, "12,345"), (0.31, "0.310"), (0.01234, "0.0123"), (-0.5, "−0.500"), (3.2e-6, "3.20e−06"),
        (2.5e9, "2.50e+09"), (None, "–"), (float("nan"), "–"), (True, "–"), ("1", "–"),
    ],
)  # fmt: skip
def test_numbers_have_the_digits_that_count(value: object, text: str) -> None:
    assert numerals.number(value) == text


def test_durations_are_read_at_a_glance() -> None:
    seconds = [0.31, 42, 200, 7500, None, 0]
    assert [numerals.duration(s) for s in seconds] == ["0.3 s", "42 s", "3 min 20 s", "2 h 5 min", "–", "–"]


def test_the_strip_keeps_both_ends() -> None:
    paths = [Path(str(i)) for i in range(11)]
    assert [int(p.name) for p in evenly(paths, 6)] == [0, 2, 4, 6, 8, 10]
    assert evenly(paths[:3], 6) == paths[:3]


def test_the_packaged_templates_are_there() -> None:
    folder = Path(report.__file__).parent
    names = {"base.html.j2", "macros.html.j2", "template.html.j2", "comparison.html.j2"}
    assert {path.name for path in folder.glob("*.j2")} == names
