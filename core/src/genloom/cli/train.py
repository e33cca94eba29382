"""`genloom train`: gather what was asked for, choose the engine, call `genloom.train`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from genloom import engine
from genloom.cli import offers
from genloom.cli.flags import SEED, backend, json_flag, set_flag, setting, training_flags
from genloom.cli.output import note, print_json, say, table
from genloom.cli.plan import Plan, environment_settings, gather, read_config
from genloom.errors import ConfigError
from genloom.files.toml import flat

if TYPE_CHECKING:
    from genloom.runs import Run

__all__ = ["train"]


@click.command()
@click.argument("model", required=False, shell_complete=offers.models)
@setting(
    "--data",
    metavar="SRC",
    help="Data to train on, such as digits, toy:8-ring or images:DIR.",
    shell_complete=offers.data,
)
@setting(
    "--preset",
    metavar="NAME",
    help="Named option values, such as tiny, small or base (see: genloom show MODEL).",
    shell_complete=offers.presets,
)
@set_flag("A model option, or training.K=V (repeatable).")
@click.option("--config", metavar="F.toml", type=click.Path(), help="Tables [model], [data] and [training].")
@training_flags
@setting("--seed", type=SEED, help="Seed of weights, order and noise.")
@setting("--seeds", metavar="1,2,3", help="Train one run per seed.")
@backend
@setting(
    "--init-from",
    metavar="RUN",
    type=click.Path(),
    shell_complete=offers.runs,
    help="Run to start from: its weights, and its options unless --preset is given.",
)
@setting("--out", metavar="RUN", type=click.Path(), help="Where to write the run.", shell_complete=offers.runs)
@click.option("--resume", is_flag=True, help="Resume the run in --out.")
@click.option("--profile", is_flag=True, help="Say where the time of a step goes, and write a trace into RUN/profile.")
@click.option("--dry-run", is_flag=True, help="Check everything and build the model, but train nothing.")
@json_flag
@click.pass_context
def train(
    ctx: click.Context,
    /,
    assignments: tuple[str, ...],
    config: str | None,
    resume: bool,
    profile: bool,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train MODEL on a data set and keep the run.

    Values are taken from the flag, then from GENLOOM_<FLAG> in the environment, then from --config, the preset and
    the defaults. With --resume, MODEL and --data may be left out: the run knows them.
    """
    flags, environment = _by_source(ctx, given)
    layers = {**environment_settings(), **environment}
    plan = gather(flags, layers, assignments, _config(config, resume, given["out"], named=bool(given["model"])))
    engine.choose(plan.backend)
    result = _train(plan, resume, dry_run, profile)
    results = list(result) if isinstance(result, (list, tuple)) else [result]
    if dry_run:
        _tell_plans(results, as_json)
    else:
        _tell_runs(results, as_json, profile)


def _by_source(ctx: click.Context, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what flags gave from what the environment gave."""
    present = {name: value for name, value in given.items() if value not in (None, ())}
    environment = {name for name in present if ctx.get_parameter_source(name) is ParameterSource.ENVIRONMENT}
    flags = {name: value for name, value in present.items() if name not in environment}
    return flags, {name: present[name] for name in environment}


def _config(config: str | None, resume: bool, out: str | None, named: bool) -> dict[str, dict[str, Any]]:
    """Return the configuration file, or what identifies the run to resume when no file is given.

    Args:
        config: the file.
        resume: whether a run goes on.
        out: which.
        named: whether the model is named: the trainer then says what a folder without a run may do.

    Raises:
        ConfigError: nothing to resume, or a file that cannot be read.
    """
    found = {} if config is None else read_config(config)
    if not resume:
        return found
    if out is None:
        raise ConfigError("--resume needs a run.", mend="Give --out RUN.")
    from genloom.runs import Run

    run = Run(out)
    return found if named and not run.exists else found or _identity(run)


def _identity(run: Run) -> dict[str, dict[str, Any]]:
    """Return the model, data, seed and engine of a run; the trainer reads all its other settings from it."""
    stored = run.config
    training, began_on = {"seed": run.stated("training", "seed")}, run.stated("training", "backend")
    # A run goes on bitwise on its own engine only; what the caller names, or what is installed, wins over that.
    if began_on in engine.installed() and not engine.wished():
        training["backend"] = began_on
    return {
        "model": {"id": stored["model"]["id"]},
        "data": {"address": run.address},
        "training": training,
    }


def _train(plan: Plan, resume: bool, dry_run: bool, profile: bool) -> Any:
    from genloom.training.trainer import train as run_training

    return run_training(
        plan.model,
        plan.data,
        preset=plan.preset,
        options=plan.options,
        resume=resume,
        dry_run=dry_run,
        profile=profile,
        **plan.circumstances,
        **plan.settings,
    )


def _tell_runs(runs: list[Any], as_json: bool, profiled: bool) -> None:
    from genloom.runs import list_runs

    rows = [list_runs(run.path)[0] for run in runs]
    if profiled:
        for row, run in zip(rows, runs, strict=True):
            path = run.path / "profile.json"  # absent when the run had ended before, or ended too early to time
            if path.exists():
                row["profile"] = json.loads(path.read_text(encoding="utf-8"))
                _tell_profile(row["profile"])
            else:
                note(f"{run.path}: no steps were timed.")
    if as_json:
        print_json(runs=rows)
        return
    for row in rows:
        say(row["path"])


def _tell_profile(profile: dict[str, Any]) -> None:
    """Write the table on stderr: stdout is for the run's path."""
    note(f"{'part of a step':<24}{'ms':>10}{'share':>8}")
    parts = ("data", "forward_backward", "optimizer", "callbacks", "loop", "step")
    for part in parts:
        milliseconds = profile[f"{part}_ms"]
        note(f"{part.replace('_', ' and '):<24}{milliseconds:>10.3f}{milliseconds / profile['step_ms']:>8.0%}")
    rate = profile["flops_per_step"] / profile["step_ms"] * 1e3
    note(f"{profile['flops_per_step']:.3g} operations a step, {rate:.3g} a second: {profile['mfu']:.1%} of the peak of")
    note(f"{profile['peak_flops']:.3g} that a matrix product reaches here. Trace: {profile['trace']}")


def _tell_plans(plans: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(plans=plans)
        return
    for plan in plans:
        table(("what", "value"), list(flat(plan)))
    note("Dry run: configuration valid; nothing was trained.")
