"""Train and measure the diffusion family, and write docs/results/diffusion.md: `python docs/make_diffusion.py`.

`--quick` trains for a few steps and writes only the numbers, to the file given by `--json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import genloom
from genloom import backend

PAGE = Path(__file__).parent / "results" / "diffusion.md"
COMMAND = "KERAS_BACKEND=jax python docs/make_diffusion.py"
RING = "toy:8-ring"
#: Entropy of the ring's mixture at σ = 0.05: log 8 + log 2πe σ², in nats; its modes hardly overlap.
ENTROPY = float(np.log(8) + np.log(2 * np.pi * np.e * 0.05**2))


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is trained and measured: the whole by default."""

    ring_steps: int = 8000
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    ring_calls: Sequence[int] = (1, 2, 4, 10)
    n: int = 500
    digit_steps: int | None = None
    models: Sequence[str] = ("ddpm", "edm", "flow", "meanflow")
    walks: Sequence[str] = ("ancestral", "ddim", "dpm_2m", "heun")
    walk_calls: Sequence[int] = (10, 20, 50)
    guidance: Sequence[tuple[float, float, float]] = (
        (1.0, 0.0, 1.0),
        (2.0, 0.0, 1.0),
        (4.0, 0.0, 1.0),
        (4.0, 0.2, 0.7),
    )
    students: int = 3


QUICK = Size(20, (0,), (1, 2), 100, 20, ("ddpm", "flow"), ("heun",), (5,), ((4.0, 0.2, 0.7),), 1)

RINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "flow": ("diffusion/flow", {}),
    "flow, coupling=ot": ("diffusion/flow", {"coupling": "ot"}),
    "meanflow": ("diffusion/meanflow", {}),
    "meanflow, rule=halves": ("diffusion/meanflow", {"rule": "halves", "mean_share": 0.25}),
}

Rows = list[dict[str, Any]]


def scores(run: Any, metrics: Sequence[str], n: int, **asked: Any) -> dict[str, float]:
    """Return scores of samples drawn with sampling options, by metric."""
    model = genloom.load(run.path)

    def draw(count: int, seed: int) -> Any:
        return genloom.sample(model, count, seed, **asked)

    document = genloom.evaluate(run, metrics, n, sampler=draw, write=False)
    return {row["name"]: row["value"] for row in document["results"] if row["role"] == "score"}


def ring(folder: Path, size: Size) -> Rows:
    """Return, by model, number of calls and seed, the share of samples within 3σ of a mode and the modes reached."""
    rows: Rows = []
    settings = {"batch_size": 256, "ema": 0.99, "schedule": "cosine", "validation": 0.0, "sample_every": 0}
    for name, (model, options) in RINGS.items():
        for seed in size.seeds:
            run = genloom.train(
                model, RING, options={"learning_rate": 2e-3, **options}, steps=size.ring_steps, seed=seed,
                out=folder / f"{name}-{seed}", **settings,
            )  # fmt: skip
            for calls in size.ring_calls:
                found = scores(run, ["mode-share", "modes"], 2000, steps=calls)
                rows.append({"model": name, "seed": seed, "calls": calls, **found})
            if name == "flow":
                rows[-1]["nll"] = held_out_nll(run)
    return rows


def held_out_nll(run: Any) -> float:
    """Return the mean negative log-likelihood of 2,000 points of the ring that were not trained on, in nats."""
    from keras import ops

    model = genloom.load(run.path)
    held_out = genloom.data.open(RING).test
    points = held_out.take(np.arange(min(2000, len(held_out))))["x"]
    log_prob: Callable[[Any], Any] = backend.compiled(lambda x: model.log_prob(x), model)
    return -float(np.mean(ops.convert_to_numpy(log_prob(ops.convert_to_tensor(points)))))


DIGITS = ("fd[pca20]", "fd[classifier32]", "recall", "coverage", "label-transfer", "nearest-train")
WALKS: dict[str, dict[str, Any]] = {
    "ancestral": {"sampler": "ancestral"},
    "ddim": {"sampler": "ddim"},
    "dpm_2m": {"sampler": "dpm_2m", "spacing": "log_snr"},
    "heun": {"sampler": "heun", "spacing": "log_snr"},
}


def digits(folder: Path, size: Size, seed: int = 1) -> dict[str, Rows]:
    """Return the scores of the digits by model, by sampler and number of calls, and by guidance."""
    length = {} if size.digit_steps is None else {"steps": size.digit_steps}
    runs, models, n = {}, [], size.n
    for name in size.models:
        begun = time.perf_counter()
        runs[name] = genloom.train(f"diffusion/{name}", "digits", preset="tiny", seed=seed, out=folder / name, **length)
        seconds = time.perf_counter() - begun
        calls = genloom.load(runs[name].path).evaluations()
        models.append({"model": name, "calls": calls, "seconds": seconds, **scores(runs[name], DIGITS, n)})
    samplers = []
    for name in size.walks:
        for calls in size.walk_calls:
            count = (calls + 1) // 2 if name == "heun" else calls
            found = scores(runs["ddpm"], ["fd[pca20]", "fd[classifier32]"], n, steps=count, **WALKS[name])
            samplers.append({"sampler": name, "calls": 2 * count - 1 if name == "heun" else count, **found})
    asked = ["class-agreement", "recall", "fd[pca20]"]
    guidance = [
        {"guidance": w, "between": f"{low}–{high}", **scores(
            runs["flow"], asked, n, guidance=w, guidance_from=low, guidance_to=high
        )}
        for w, low, high in size.guidance
    ]  # fmt: skip
    return {"models": models, "samplers": samplers, "guidance": guidance}


def distilled(folder: Path, size: Size, seed: int = 1) -> Rows:
    """Return the scores of a teacher of digits, and of students of few calls."""
    length = {} if size.digit_steps is None else {"steps": size.digit_steps}
    shared: dict[str, Any] = {"preset": "tiny", "seed": seed, **length}
    teacher = genloom.train("diffusion/ddpm", "digits", options={"frequency": 30.0}, out=folder / "teacher", **shared)
    taught = {**shared, "init_from": teacher.path, "retain": "diffusion/distil"}
    students: dict[str, tuple[str, dict[str, Any], Sequence[int]]] = {
        "consistency, taught": ("diffusion/consistency", taught, (1, 2, 4)),
        "ddpm, taught (progressive distillation)": (
            "diffusion/ddpm", {**taught, "options": {"frequency": 30.0, "steps": 4}}, (4,)
        ),
        "consistency, alone": ("diffusion/consistency", shared, (1, 2)),
    }  # fmt: skip
    runs: dict[str, tuple[Any, Sequence[int]]] = {"ddpm, the teacher": (teacher, (50,))}
    for name in list(students)[: size.students]:
        model, settings, calls = students[name]
        runs[name] = (genloom.train(model, "digits", out=folder / name, **settings), calls)
    asked = ["fd[pca20]", "fd[classifier32]", "coverage"]
    return [
        {"model": name, "calls": steps, **scores(run, asked, size.n, steps=steps)}
        for name, (run, calls) in runs.items()
        for steps in calls
    ]


def table(rows: Rows) -> list[str]:
    """Return rows as a Markdown table, one column per name."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_shown(row.get(name, "")) for name in names] for row in rows]
    return ["", *(f"| {' | '.join(line)} |" for line in (names, ["---"] * len(names), *cells))]


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def over_seeds(rows: Rows) -> Rows:
    """Return the ring's rows as mean ± deviation over the seeds."""
    found: Rows = []
    for name, calls in dict.fromkeys((row["model"], row["calls"]) for row in rows):
        same = [row for row in rows if (row["model"], row["calls"]) == (name, calls)]
        share = [row["mode-share"] for row in same]
        found.append({
            "model": name, "calls": calls, "within 3σ": f"{np.mean(share):.3f} ± {np.std(share):.3f}",
            "modes, fewest": str(int(min(row["modes"] for row in same))),
        })  # fmt: skip
    return found


def page(measured: dict[str, Any]) -> str:
    """Return the page."""
    nll = [row["nll"] for row in measured["ring"] if "nll" in row]
    lines = [
        "# Diffusion and flow",
        "",
        f"On {measured['engine']} and {os.cpu_count()} processor cores, within an hour.",
        "",
        "```",
        COMMAND,
        "```",
        "",
        "## Orders",
        "",
        "With the exact denoiser of a mixture of two Gaussians the error falls with the steps as it must: the tests",
        "`test_the_error_falls_with_the_order_of_the_sampler` and `test_samplers_have_their_orders` hold the slopes to",
        "1 for DDIM and Euler and to 2 for Heun and DPM-Solver++(2M), on five processes and three engines.",
        "",
        "## A sample in one call",
        "",
        f"`{RING}`, {measured['ring_steps']:,} steps of 256, {measured['ring_seeds']} seeds, a network of 128 × 3;",
        "real points have .989 within 3σ. The flow is followed by Euler's sampler.",
        *table(over_seeds(measured["ring"])),
        "",
        f"Negative log-likelihood of the flow by its probability flow: {np.mean(nll):.3f} ± {np.std(nll):.3f} nats;",
        f"the entropy of the ring, which a perfect model reaches, is {ENTROPY:.3f}.",
        "",
        "## Digits",
        "",
        "`--preset tiny`, one seed, 500 samples. Real digits at this n have fd[pca20] .070, fd[classifier32] 1.21;",
        "a Gaussian mixture of ten has .129 and 2.22.",
        *table(measured["digits"]["models"]),
        "",
        "The same `diffusion/ddpm` by sampler and number of calls; `dpm_2m` and `heun` with `spacing=log_snr`:",
        *table(measured["digits"]["samplers"]),
        "",
        "A teacher with `frequency=30`, students that begin with its weights and learn from it",
        "(`--init-from`, `--retain diffusion/distil`), and one that has no teacher:",
        *table(measured["distilled"]),
        "",
        "`diffusion/flow` under guidance, between positions of the process (0 the data, 1 the noise):",
        *table(measured["digits"]["guidance"]),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the page or the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few steps; writes no page")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    asked = parser.parse_args()
    size = QUICK if asked.quick else Size()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        measured: dict[str, Any] = {"ring": ring(Path(folder), size), "digits": digits(Path(folder), size)}
        measured["distilled"] = distilled(Path(folder), size)
    measured |= {"ring_steps": size.ring_steps, "ring_seeds": len(size.seeds), "engine": backend.name()}
    measured["seconds"] = time.perf_counter() - begun
    if asked.json:
        asked.json.write_text(json.dumps(measured, indent=1))
    if not asked.quick:
        PAGE.write_text(page(measured), "utf-8")


if __name__ == "__main__":
    main()
