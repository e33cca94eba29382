"""From run directories to one HTML file: the context of each page, and its writing."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genloom.errors import ConfigError
from genloom.files.atomic import make_folder, write_atomic
from genloom.metrics.ways import alike
from genloom.plugins.offers import Section
from genloom.report import curves, facts, standing
from genloom.report.definitions import definition, definitions
from genloom.report.embedding import Shown, embed, show
from genloom.report.numerals import count, number
from genloom.report.section import plugin_sections
from genloom.runs import Run, open_run
from genloom.runs.usable import usable

__all__ = ["comparison_page", "rendered", "run_page"]

Runs = Sequence[Run | str | Path]

_HERE = Path(__file__).parent


def run_page(run: Run | str | Path, out: str | Path | None, sections: Sequence[Section | tuple[str, str]]) -> Path:
    """Write the report of one run; `out` is RUN/report.html by default."""
    run = _opened(run)
    results = facts.measured(run)
    context = {
        "title": str(facts.table(run.config, "model").get("id", run.path.name)),
        "subtitle": run.path.name,
        "facts": facts.headline(run),
        "command": facts.command(run),
        "real": embed(run.path / "samples" / "real.png", "real"),
        "generated": facts.latest_sample(run),
        "strip": facts.epoch_strip(run),
        "texts": facts.texts(run),
        "post": facts.post(run),
        "post_chain": facts.post_chain(run, results),
        "post_scores": facts.post_scores(results),
        "panels": curves.loss_panels(run),
        "opponents": list(dict.fromkeys(name for result in results for name in result["opponents"])),
        "warning": facts.score_warning(run),
        "metrics": [result for result in results if result["role"] not in ("cost", "loss", "post")],
        "costs": [result for result in results if result["role"] in ("cost", "loss")],
        "definitions": definitions(results),
        "lineage": facts.lineage(run),
        "config": facts.flat(run.config),
    }
    every = [*facts.alarms(run), *sections, *plugin_sections(run)]
    return _written("template.html.j2", context, every, Path(out) if out else run.path / "report.html")


def comparison_page(
    runs: Runs,
    out: str | Path | None,
    comparison: Mapping[str, Any] | None,
    sections: Sequence[Section | tuple[str, str]],
) -> Path:
    """Write the page of several runs; `out` is report.html in the first run by default."""
    opened, damaged = usable(runs, _sound)
    if not opened:
        raise ConfigError("There is no run to report.", mend="Name one run or more.")
    models = standing.groups(opened)
    measured = standing.measured_groups(comparison or _arranged(opened), models)
    context = {
        "title": " · ".join(models) if len(models) < 5 else f"{len(models)} models",
        "subtitle": "compared",
        "facts": _common(opened),
        "real": next((s for run in opened if (s := embed(run.path / "samples" / "real.png", "real data"))), None),
        "models": [
            {"label": label, "generated": facts.latest_sample(members[0]), "strip": _over_time(members[0])}
            for label, members in models.items()
        ],
        "panels": curves.shared_panels(models),
        "measured": measured,
        "definitions": definitions(row for group in measured for row in group["rows"]),
        "warnings": [*damaged.values(), *_score_warnings(opened), *alike(_arranged(opened))],
        "references": [name for name, _ in measured[0]["rows"][0]["references"]] if measured else [],
        "seeds": max(len(members) for members in models.values()),
        "runs": [(str(run.path), " ".join(facts.command(run))) for run in opened],
    }
    return _written("comparison.html.j2", context, sections, Path(out) if out else opened[0].path / "report.html")


def _score_warnings(runs: Sequence[Run]) -> list[str]:
    return [warning for run in runs if (warning := facts.score_warning(run))]


def _over_time(run: Run) -> list[Shown]:
    """Return the strip of sample pictures, where there is more than the newest, which is shown anyway."""
    strip = facts.epoch_strip(run)
    return strip if len(strip) > 1 else []


def _opened(run: Run | str | Path) -> Run:
    return open_run(run.path if isinstance(run, Run) else run, head=False)


def _sound(run: Run | str | Path) -> Run:
    """Return an open run whose log can be read."""
    opened = _opened(run)
    collections.deque(opened.log(), maxlen=0)
    return opened


def _arranged(runs: Sequence[Run]) -> dict[str, Any]:
    """Arrange the runs' own results as `genloom.compare` does, those without any left out."""
    from genloom.metrics.table import table

    measured = [
        (run, [r for r in facts.measured(run) if r["value"] is not None and r["role"] != "post"]) for run in runs
    ]
    return table(
        [
            {"model": "", "seed": index, "config": str(run.path), "results": results, **_stated(run)}
            for index, (run, results) in enumerate(measured)
            if results
        ]
    )


def _stated(run: Run) -> dict[str, Any]:
    data = facts.table(run.config, "data").get("address")
    return {"run": str(run.path), "data": data, "step": run.scored_step, "outdated": run.outdated}


def _common(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return the facts on which all runs agree."""
    tables = [dict(facts.headline(run)) for run in runs]
    shared = ("Data", "Engine", "GenLoom", "Keras")
    rows = [
        (name, tables[0][name])
        for name in shared
        if len({table.get(name) for table in tables}) == 1 and name in tables[0]
    ]
    return [*rows, ("Runs", str(len(runs)))]


def _written(template: str, context: dict[str, Any], sections: Sequence[Section | tuple[str, str]], out: Path) -> Path:
    extra = [section if isinstance(section, Section) else Section(section[0], html=section[1]) for section in sections]
    pictures = [[show(image.copy(), caption) for caption, image in section.figures] for section in extra]
    context = {**context, "sections": list(zip(extra, pictures, strict=True))}
    make_folder(out.parent)
    write_atomic(out, rendered(_HERE / template, context).encode())
    return out


def rendered(template: Path, context: Mapping[str, Any]) -> str:
    """Fill in a template, which may use those that lie beside it, and this folder's."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, _HERE]),
        autoescape=True,  # whatever a run directory says is text, never markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "count": count, "definition": definition}
    return environment.get_template(template.name).render(**context)
