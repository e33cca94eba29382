"""What a report says about one run: read from its directory, each missing piece simply left out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from genloom.errors import RunError
from genloom.files import bounded
from genloom.metrics.measured import typed
from genloom.plugins.offers import Section
from genloom.report.embedding import Shown, embed, evenly
from genloom.report.numerals import count, duration
from genloom.runs import Run
from genloom.runs.stretches import history

__all__ = [
    "alarms",
    "command",
    "epoch_strip",
    "flat",
    "headline",
    "latest_sample",
    "lineage",
    "measured",
    "post",
    "post_chain",
    "post_scores",
    "score_warning",
    "table",
    "texts",
]

STRIP = 6  # pictures in the strip over training time
_TEXTS, _LETTERS = 4, 600  # texts shown over training time, and of each so much


def headline(run: Run) -> list[tuple[str, str]]:
    """Return the (name, value) facts for the head of the page."""
    config = run.config
    training, versions, model = (table(config, key) for key in ("training", "versions", "model"))
    last = _last(run)
    facts = [
        ("Data", table(config, "data").get("address")),
        ("Engine", training.get("backend") or versions.get("backend")),
        ("Seed", training.get("seed", model.get("seed"))),
        ("Preset", model.get("preset")),
        *((name.capitalize(), _part(part)) for name, part in table(model, "parts").items()),
        ("Steps", count(last.get("step"))),
        ("Epochs", count(last.get("epoch"))),
        ("Training", duration(last.get("seconds"))),
        ("Parameters", count(run.parameters)),
        ("GenLoom", versions.get("genloom")),
        ("Keras", versions.get("keras")),
        ("Status", run.status if run.status != "running" else None),  # a page cannot follow what runs on
    ]
    return [(name, str(value)) for name, value in facts if value not in (None, "", "–")]


def command(run: Run) -> list[str]:
    """Return the command line that repeats the run, a flag and its value to a piece; [] where no training made it."""
    config = run.config
    model, data, training = (table(config, key) for key in ("model", "data", "training"))
    if not data.get("address"):
        return []
    pieces = [["genloom", "train", str(model.get("id", "MODEL"))], ["--data", str(data["address"])]]
    flags = {"--preset": model.get("preset"), "--batch-size": training.get("batch_size")}
    length = "steps" if training.get("steps") else "epochs"
    flags |= {f"--{length}": training.get(length), "--seed": training.get("seed", model.get("seed"))}
    flags["--backend"] = training.get("backend")
    for flag, value in flags.items():
        pieces += [[flag, str(value)]] if value not in (None, "") else []
    pieces += [
        [f"--{key.replace('_', '-')}", str(training[key])]
        for key in ("init_from", "adapt", "retain")
        if training.get(key)
    ]
    pieces += [["--post", str(text)] for text in _items(training.get("post"))]
    for key, value in table(model, "options").items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        pieces.append(["--set", f"{key}={text}"])
    return [shlex.join(piece) for piece in [*pieces, ["--out", "RUN"]]]


def measured(run: Run) -> list[dict[str, Any]]:
    """Return the rows of metrics.json that have a name, absent keys filled in; [] when it is absent or damaged.

    Of a measure that was taken in several ways, with other n or on another engine, the newest stands for it.
    """
    defaults = dict.fromkeys(("value", "floor", "n", "lower_is_better"))
    try:
        rows = [typed(row) for row in run.metrics()]
    except RunError:
        return []
    named = [{**defaults, "fingerprint": "", "role": "score", **row} for row in rows if "name" in row]
    newest = {(row["name"], row["role"]): row for row in named}
    rows = [row for row in named if row is newest[row["name"], row["role"]]]
    return [{**row, "opponents": row.get("opponents") or {}} for row in rows]


def score_warning(run: Run) -> str | None:
    """Return what is wrong with the scores of a run: a damaged file, or another step than the run is at; else None."""
    try:
        if not run.outdated:
            return None
        steps = f"was measured at step {run.scored_step:,} and has been trained to {run.saved_step:,} since"
        fault = f"{run.path.name} {steps}."
    except RunError as error:
        fault = error.message
    return f"{fault} Measure again: genloom evaluate {run.path}"


def latest_sample(run: Run, caption: str = "") -> Shown | None:
    """Return the newest whole sample picture."""
    for path in reversed(run.samples()):
        shown = embed(path, caption or _epoch(path.stem))
        if shown is not None:
            return shown
    return None


def epoch_strip(run: Run) -> list[Shown]:
    """Return up to six sample pictures, evenly over training."""
    shown = [embed(path, _epoch(path.stem)) for path in evenly(run.samples(), STRIP)]
    return [picture for picture in shown if picture is not None]


def texts(run: Run) -> list[tuple[str, str]]:
    """Return (epoch, beginning of the samples) of up to four texts, evenly over training."""
    found = []
    for path in evenly(run.texts(), _TEXTS):
        try:
            text = bounded.content(path).decode("utf-8")
        except (OSError, ValueError):
            continue
        found.append((_epoch(path.stem), text[:_LETTERS] + ("…" if len(text) > _LETTERS else "")))
    return found


def post(run: Run) -> list[Shown]:
    """Return the pictures around post-processing, samples/post-*.png."""
    paths = sorted((run.path / "samples").glob("post-*.png"))
    order = sorted(paths, key=lambda path: ("before" not in path.stem, path.name))
    shown = [embed(path, path.stem.removeprefix("post-").replace("-", " ")) for path in order]
    return [picture for picture in shown if picture is not None]


def post_scores(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the scores after post-processing, each with the one before it under "before"."""
    before = {row["name"]: row["value"] for row in results if row["role"] == "score"}
    return [{**row, "before": before.get(row["name"])} for row in results if row["role"] == "post"]


def post_chain(run: Run, results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the post-processors that the pictures and scores show, in order."""
    measured = [row["post"] for row in results if row["role"] == "post" and "post" in row]
    own = _items(table(run.config, "training").get("post"))
    return [str(text) for text in (measured[-1] if measured else own)]


def lineage(run: Run) -> list[tuple[str, str]]:
    """Return where the run came from: the [lineage] of run.toml, the run it began with, and what changed on the way."""
    config = run.config
    further = (("init_from", table(config, "training").get("init_from")), ("history", history(config)))
    return [*flat(table(config, "lineage")), *((name, str(value)) for name, value in further if value)]


def alarms(run: Run) -> list[Section]:
    """Return a section on the alarms that sounded in training, none where none did."""
    told = [_alarm(entry) for entry in run.log() if isinstance(entry.get("alarm"), dict)]
    return [Section("Alarms", text="\n\n".join(told))] if told else []


def _alarm(entry: Mapping[str, Any]) -> str:
    alarm = entry["alarm"]
    at = f"Step {count(entry.get('step'))}, epoch {count(entry.get('epoch'))}"
    value = alarm.get("value")
    shown = f"{value:.4g}" if isinstance(value, (int, float)) else value
    return f"{at}: {alarm.get('name')} was {shown}: {alarm.get('meaning')}. {alarm.get('mend')}"


def flat(nested: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested tables as ("model.options.width", "64") rows."""
    rows: list[tuple[str, str]] = []
    for key, value in nested.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((f"{prefix}{key}", text))
    return rows


def _part(stated: Any) -> str:
    """Return whose trained model a model is made of: vae/conv of runs/vae, step 1,000."""
    part = stated if isinstance(stated, dict) else {}
    return f"{table(part, 'model').get('id')} of {part.get('run')}, step {count(part.get('step'))}"


def _last(run: Run) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for entry in run.log():
        last |= {key: value for key, value in entry.items() if value is not None}
    return last


def _epoch(stem: str) -> str:
    return f"epoch {int(stem.rpartition('-')[2]):,}"


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def table(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return one table of run.toml, {} when it is absent or no table."""
    value = config.get(key)
    return value if isinstance(value, dict) else {}
