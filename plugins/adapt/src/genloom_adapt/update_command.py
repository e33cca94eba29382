"""`genloom update`: let a run learn from new data behind a gate, or take the last such update back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from genloom import engine
from genloom.cli import offers
from genloom.cli.flags import COUNT, STEPS, Number, backend, json_flag, run_argument, seed_flag, set_flag
from genloom.cli.output import note, print_json, table
from genloom.errors import ConfigError
from genloom.options import LARGEST, configure, parse_assignments
from genloom.training import TrainingSettings

__all__ = ["update"]


@click.command()
@run_argument
@click.option("--data", metavar="NEW", help="New data to learn from.", shell_complete=offers.data)
@click.option(
    "--gate",
    metavar="METRIC",
    default="test_loss",
    show_default=True,
    help="What must be better on the new data and no worse on the old: a held-out loss, or a metric such as fd[pca20].",
)
@click.option(
    "--tolerance",
    type=Number(0, LARGEST),
    default=0.02,
    show_default=True,
    help="By which share it may be worse on old data.",
)
@click.option(
    "--retain",
    metavar="NAME[:K=V,…]",
    default="replay:share=0.2",
    show_default=True,
    help="Remedy against forgetting: replay, ewc, l2sp, lwf, agem or none.",
)
@click.option("--adapt", metavar="lora[:K=V,…]", help="Train adapters in place of the weights.")
@click.option("--epochs", type=COUNT, help="Passes over the new data; the run's own by default.")
@click.option("--steps", type=STEPS, help="Steps, in place of epochs.")
@set_flag("Another setting, training.K=V (repeatable).")
@seed_flag("Seed of the training.")
@click.option("--rollback", is_flag=True, help="Take the last promoted update back.")
@backend
@json_flag
@click.pass_context
def update(ctx: click.Context, /, run: str, rollback: bool, as_json: bool, **asked: Any) -> None:
    """Train RUN's model on new data; it counts if it is better on them and no worse on what it knew.

    The update is a run in RUN/updates, and RUN/lineage.jsonl says what became of it. Commands that are given RUN use
    the weights that count. The exit code is 1 where the gate refused.
    """
    if rollback == (asked["data"] is not None):
        raise ConfigError("An update needs data, a rollback has none.", mend="Give --data NEW or --rollback.")
    settings = {} if rollback else _settings(asked)
    engine.choose(asked["backend"])
    from genloom_adapt import updating

    entry = updating.rollback(run) if rollback else updating.update(run, **settings)
    if as_json:
        print_json(**entry)
    else:
        scores = entry.get("scores", [])
        rows = [(s["data"], s["role"], f"{s['before']:.4g}", f"{s['after']:.4g}", _verdict(s)) for s in scores]
        table(("data", "", "before", "after", "gate"), rows)
        note(f"{entry['decision']}: what counts is {'its own training' if entry['head'] == '.' else entry['head']}.")
    if entry["decision"] == "rejected":
        ctx.exit(1)


def _settings(asked: dict[str, Any]) -> dict[str, Any]:
    own = {name: asked[name] for name in ("data", "gate", "tolerance", "adapt", "seed")}
    length = {name: asked[name] for name in ("epochs", "steps") if asked[name] is not None}
    retain = None if asked["retain"] == "none" else asked["retain"]
    return {**own, "retain": retain, **length, **_assigned(asked["assignments"])}


def _assigned(assignments: Iterable[str]) -> dict[str, str]:
    """Return the settings of --set; options of the model are those of the run."""
    settings = {}
    for key, value in parse_assignments(assignments).items():
        table, _, name = key.partition(".")
        if table != "training":
            raise ConfigError(
                f"An update keeps the options of its model, got --set {key}={value}.",
                mend=f"A setting of the training is given as --set training.{key}={value}.",
            )
        settings[name] = value
    configure(TrainingSettings, settings, named=lambda name: f"training.{name}")
    return settings


def _verdict(score: dict[str, Any]) -> str:
    return "passed" if score["passed"] else "refused"
